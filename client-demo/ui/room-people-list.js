/** Who is in the chat room: states of the others, the own one, and who is typing. */
import { Component, html } from "./html.js";

const STATES = { online: "Online", away: "Away", busy: "Busy", invisible: "Invisible" };
const MAX_TEXT = 100;
const MOST_SHOWN = 8;

/** Properties: `members`, `people`, `userId`, `isLive`, `onOwn(state, text)`, which returns a promise. */
export function RoomPeopleList({ members, people: { presence, own }, userId, isLive, onOwn }) {
  const others = members.filter((member) => member.userId !== userId);
  return html`
    <ul class="people" data-testid="chat-members" aria-label="In the room">
      ${others.length === 0 && members.length > 0 && html`<li class="muted">Only you are here</li>`}
      ${others.slice(0, MOST_SHOWN).map(({ userId: id, name }) => html`<${Person} key=${id} name=${name} presence=${presence[id]} />`)}
      ${others.length > MOST_SHOWN && html`<li class="muted">and ${others.length - MOST_SHOWN} more</li>`}
    </ul>
    ${own && html`<${OwnState} own=${own} isLive=${isLive} onOwn=${onOwn} />`}`;
}

function Person({ name, presence }) {
  const state = presence?.online ? presence.state ?? "online" : "offline";
  return html`
    <li class="person" data-state=${presence && state}>
      <span class="state-dot" aria-hidden="true"></span>${name}
      ${presence && html`<span class="visually-hidden">, ${(STATES[state] ?? "Offline").toLowerCase()}</span>`}
      ${presence?.online && presence.text && html`<span class="muted">${presence.text}</span>`}
    </li>`;
}

/** The form keeps what the user chose if it could not be saved. */
class OwnState extends Component {
  state = { problem: "" };

  save = async (event) => {
    event.preventDefault();
    const { state, text } = Object.fromEntries(new FormData(event.currentTarget.form ?? event.currentTarget));
    try {
      await this.props.onOwn(String(state), String(text).trim());
      this.setState({ problem: "" });
    } catch {
      this.setState({ problem: "Not saved. Try again." });
    }
  };

  render({ own: { state, text = "" }, isLive }, { problem }) {
    return html`
      <form class="own-state" onSubmit=${this.save} data-state=${state}>
        <span class="state-dot" aria-hidden="true"></span>
        <label class="visually-hidden" for="own-state">Your state, as others see it</label>
        <select id="own-state" name="state" disabled=${!isLive} data-testid="own-state" onChange=${this.save}>
          ${Object.entries(STATES).map(([value, label]) => html`
            <option key=${value} value=${value} selected=${value === state}>${label}</option>`)}
        </select>
        <label class="visually-hidden" for="own-state-text">What you are doing, for others to read</label>
        <input id="own-state-text" name="text" value=${text} maxlength=${MAX_TEXT} disabled=${!isLive} autocomplete="off"
               placeholder="What are you doing?" data-testid="own-state-text" onChange=${this.save} />
        ${problem && html`<p role="alert">${problem}</p>`}
      </form>`;
  }
}

/** Properties: `members`, `typing`. */
export function TypingLine({ members, typing }) {
  const names = members.filter(({ userId }) => typing.includes(userId)).map(({ name }) => name);
  return html`
    <p class="muted typing-line" role="status" data-testid="chat-typing">
      ${names.length > 2 ? `${names.length} people are typing…` : names.length > 0 && `${names.join(" and ")} ${names.length === 1 ? "is" : "are"} typing…`}
    </p>`;
}
