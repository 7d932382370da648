/**
 * State of the chat room in this tab: joins on every connection, keeps each message once and in the server's order,
 * sends messages one at a time.
 */
import { asVigilError } from "../vigil-errors.js";
import { retryDelay, sleep } from "../vigil-reconnect.js";
import { NOBODY, RoomPeople } from "./room-people.js";

/**
 * @typedef {{messageId: string, userId: string, name: string, text: string, at: string, historyId?: number}} Message
 * @typedef {{userId: string, name: string}} Member
 *
 * `waiting`: not sent yet. `unsure`: the connection broke before the acknowledgement; the user decides.
 * @typedef {{key: number, text: string, status: "waiting"|"unsure"|"refused", problem: string|null}} Outgoing
 * @typedef {{messages: Message[], members: Member[], people: import("./room-people.js").People, outgoing: Outgoing[],
 *   joined: boolean, maxTextLength?: number}} Chat `maxTextLength` is known once joined
 */

/** @type {Chat} */
export const EMPTY_CHAT = Object.freeze({ messages: [], members: [], people: NOBODY, outgoing: [], joined: false });

const KEPT_MESSAGES = 500;

/**
 * Merges messages by id, in the order of the room's history or else by time.
 * @param {Message[]} messages
 * @param {Message[]} added
 * @returns {Message[]}
 */
export function mergeMessages(messages, added) {
  const byId = new Map(messages.map((message) => [message.messageId, message]));
  for (const message of added) byId.set(message.messageId, { ...byId.get(message.messageId), ...message });
  return [...byId.values()].sort(byPlace).slice(-KEPT_MESSAGES);
}

/**
 * @param {Message} a
 * @param {Message} b
 */
function byPlace(a, b) {
  if (a.historyId !== undefined && b.historyId !== undefined) return a.historyId - b.historyId;
  return Date.parse(a.at) - Date.parse(b.at);
}

export class ChatRoom {
  #client;
  #onChange;
  #people;
  #chat = EMPTY_CHAT;
  #userId = "";
  #nextKey = 1;
  #isSending = false;
  #wasExpired = false;

  /**
   * @param {import("../vigil-client.js").VigilClient} client
   * @param {(chat: Chat) => void} onChange
   */
  constructor(client, onChange) {
    this.#client = client;
    this.#onChange = onChange;
    this.#people = new RoomPeople(client, (people) => this.#change({ people }));
    client.on("ready", ({ userId }) => this.#onReady(userId));
    client.on("state", ({ state }) => this.#onState(state));
    client.on("chat:message", (message) => this.#receive([message]));
    // Joining again asks again.
    client.on("chat:members", ({ members }) => this.#setMembers(members).catch(() => this.#join()));
  }

  /** Who is in the room, and who is typing. */
  get people() {
    return this.#people;
  }

  /** @param {string} text */
  send(text) {
    this.#people.type(false);
    /** @type {Outgoing} */
    const outgoing = { key: this.#nextKey++, text, status: "waiting", problem: null };
    this.#change({ outgoing: [...this.#chat.outgoing, outgoing] });
    this.#sendAll();
  }

  /** @param {number} key */
  sendAgain(key) {
    this.#update(key, { status: "waiting", problem: null });
    this.#sendAll();
  }

  /** @param {string} userId */
  #onReady(userId) {
    if (this.#userId !== userId) this.#forget();
    this.#userId = userId;
    this.#join();
  }

  /** @param {import("../vigil-client.js").ClientState} state */
  #onState(state) {
    // Messages are not delivered to a socket with an expired token: joining again fetches them.
    if (state === "live" && this.#wasExpired) this.#join();
    this.#wasExpired = state === "expired";
    if (state !== "live") this.#change({ joined: false });
    if (state === "logged-out" || state === "ended") this.#forget();
  }

  #forget() {
    this.#people.forget();
    this.#change(EMPTY_CHAT);
  }

  async #join() {
    for (let attempt = 0; this.#client.state.state === "live"; attempt++) {
      try {
        const { room, members, recent, maxTextLength } = await this.#client.emit("chat:join");
        this.#change({ maxTextLength, joined: true });
        this.#receive(recent);
        this.#sendAll();
        await this.#people.joined(room);
        return await this.#setMembers(members);
      } catch (error) {
        await sleep(retryDelay(attempt, asVigilError(error).retryAfterMs));
      }
    }
  }

  /** @param {Member[]} members */
  async #setMembers(members) {
    this.#change({ members });
    await this.#people.watch(members);
  }

  /** @param {Message[]} messages */
  #receive(messages) {
    const known = new Set(this.#chat.messages.map(({ messageId }) => messageId));
    const own = messages.filter(({ userId, messageId }) => userId === this.#userId && !known.has(messageId));
    const arrived = new Set(own.map(({ text }) => text));
    const outgoing = this.#chat.outgoing.filter(({ status, text }) => status !== "unsure" || !arrived.has(text));
    this.#change({ messages: mergeMessages(this.#chat.messages, messages), outgoing });
  }

  /** One at a time: keeps the order across a token renewal or a reconnect. */
  async #sendAll() {
    if (this.#isSending) return;
    this.#isSending = true;
    for (let next = this.#nextWaiting(); next; next = this.#nextWaiting()) await this.#sendOne(next);
    this.#isSending = false;
  }

  #nextWaiting() {
    return this.#chat.joined ? this.#chat.outgoing.find(({ status }) => status === "waiting") : undefined;
  }

  /** @param {Outgoing} outgoing */
  async #sendOne({ key, text }) {
    try {
      const { messageId } = await this.#client.emit("chat:send", { text });
      this.#settle(key, text, messageId);
    } catch (error) {
      const { code, message, retryAfterMs } = asVigilError(error);
      if (code === "rate_limited") await sleep(retryDelay(0, retryAfterMs));
      else if (code === "timeout" || code === "disconnected") this.#update(key, { status: "unsure" });
      else this.#update(key, { status: "refused", problem: message });
    }
  }

  /**
   * @param {number} key
   * @param {string} text
   * @param {string} messageId
   */
  #settle(key, text, messageId) {
    const outgoing = this.#chat.outgoing.filter((each) => each.key !== key);
    const isKnown = this.#chat.messages.some((each) => each.messageId === messageId);
    const at = new Date(this.#client.serverNow()).toISOString();
    const own = { messageId, userId: this.#userId, name: this.#client.user?.name ?? "", text, at };
    this.#change({ outgoing, messages: isKnown ? this.#chat.messages : mergeMessages(this.#chat.messages, [own]) });
  }

  /**
   * @param {number} key
   * @param {Partial<Outgoing>} change
   */
  #update(key, change) {
    this.#change({ outgoing: this.#chat.outgoing.map((each) => (each.key === key ? { ...each, ...change } : each)) });
  }

  /** @param {Partial<Chat>} change */
  #change(change) {
    this.#chat = { ...this.#chat, ...change };
    this.#onChange(this.#chat);
  }
}
