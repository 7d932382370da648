/** The chat room: an application's events on the same socket as the security events. */
import { clockTime } from "./format.js";
import { Component, createRef, html } from "./html.js";
import { ChatIcon, SendIcon } from "./icons.js";
import { RoomPeopleList, TypingLine } from "./room-people-list.js";

/** New messages scroll into view while the list is within this distance of its end. */
const FOLLOW_DISTANCE_PX = 80;

/** Messages of one user within this time are grouped under one name. */
const GROUP_MS = 5 * 60_000;

/** Properties: `chat`, `userId`, `isLive`, `people` (a `RoomPeople`), `onSend(text)`, `onSendAgain(key)`. */
export class ChatCard extends Component {
  #scroller = createRef();
  #isFollowing = true;

  onScroll = ({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
    this.#isFollowing = scrollHeight - scrollTop - clientHeight < FOLLOW_DISTANCE_PX;
  };

  componentDidUpdate() {
    if (this.#isFollowing) this.#scroller.current.scrollTop = this.#scroller.current.scrollHeight;
  }

  send = (text) => {
    this.#isFollowing = true;
    this.props.onSend(text);
  };

  render({ chat, userId, isLive, people, onSendAgain }) {
    const { messages, members, outgoing } = chat;
    return html`
      <section class="card chat-card" aria-labelledby="chat-title">
        <header class="chat-head">
          <h2 id="chat-title">Chat room</h2>
          <${RoomPeopleList} members=${members} people=${chat.people} userId=${userId} isLive=${isLive}
                             onOwn=${(state, text) => people.setOwn(state, text)} />
        </header>
        <div class="chat-scroll" ref=${this.#scroller} onScroll=${this.onScroll} tabindex="0" role="region"
             aria-label="Messages">
          ${messages.length + outgoing.length === 0 && html`<${EmptyRoom} joined=${chat.joined} />`}
          <div role="log" aria-live="polite" aria-label="Messages received">
            <ol class="messages" data-testid="chat-messages">
              ${messages.map((message, index) => html`
                <${Message} key=${message.messageId} message=${message} isOwn=${message.userId === userId}
                            isContinued=${isContinuation(messages[index - 1], message)} />`)}
            </ol>
          </div>
          <ol class="messages" aria-label="Messages not sent yet">
            ${outgoing.map((each) => html`
              <${Outgoing} key=${each.key} ...${each} onAgain=${() => onSendAgain(each.key)} />`)}
          </ol>
        </div>
        <${TypingLine} members=${members} typing=${chat.people.typing} />
        <${Composer} onSend=${this.send} onTyping=${(isActive) => people.type(isActive)} isLive=${isLive} maxLength=${chat.maxTextLength} />
      </section>`;
  }
}

function EmptyRoom({ joined }) {
  return html`
    <div class="chat-empty"><${ChatIcon} />
      <p>${joined ? "No messages yet. Say hello." : "Joining the room…"}</p>
    </div>`;
}

function isContinuation(previous, { userId, at }) {
  return previous?.userId === userId && Date.parse(at) - Date.parse(previous.at) < GROUP_MS;
}

function Message({ message: { messageId, name, text, at }, isOwn, isContinued }) {
  return html`
    <li class=${`message ${isOwn ? "is-own" : ""} ${isContinued ? "is-continued" : ""}`} data-testid="chat-message"
        data-message-id=${messageId}>
      <p class=${`message-head ${isContinued ? "visually-hidden" : ""}`}>
        <span class="message-name">${isOwn ? "You" : name}</span>
        <time class="muted tabular" dateTime=${at}>${clockTime(at)}</time>
      </p>
      <p class="message-text" data-testid="chat-text">${text}</p>
    </li>`;
}

function Outgoing({ text, status, problem, onAgain }) {
  return html`
    <li class="message is-own is-outgoing" data-testid="chat-outgoing" data-status=${status}>
      <p class="message-text">${text}</p>
      <p class="message-status" role=${status === "waiting" ? undefined : "alert"}>
        ${status === "waiting" ? "Sending…" : problem ?? "The connection was lost before this was confirmed."}
        ${status !== "waiting" && html` <button class="link" type="button" onClick=${onAgain}>Send again</button>`}
      </p>
    </li>`;
}

class Composer extends Component {
  state = { text: "" };

  submit = (event) => {
    event.preventDefault();
    const text = this.state.text.trim();
    if (!text) return;
    this.props.onSend(text);
    this.setState({ text: "" });
  };

  write = ({ currentTarget: { value } }) => {
    this.setState({ text: value });
    this.props.onTyping(value.trim() !== "");
  };

  render({ isLive, maxLength }, { text }) {
    return html`
      <form class="composer" onSubmit=${this.submit}>
        <label class="visually-hidden" for="chat-input">Message</label>
        <input id="chat-input" class="composer-input" value=${text} maxlength=${maxLength} autocomplete="off"
               placeholder=${isLive ? "Write a message" : "Not connected: messages are queued"} data-testid="chat-input"
               enterkeyhint="send" onInput=${this.write} />
        <button class="button primary icon-only" type="submit" data-testid="chat-send" aria-disabled=${!text.trim()}>
          <${SendIcon} /><span class="visually-hidden">Send</span>
        </button>
      </form>`;
  }
}
