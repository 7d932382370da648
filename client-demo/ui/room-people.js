/** The people of the chat room in this tab: their presence, who is typing, and the state that this user shows. */

/** Typing is told again this often while the user types; a receiver shows it for five seconds. */
const TELL_TYPING_MS = 3000;

/**
 * @typedef {{online: boolean, state?: string, text?: string, lastSeenAt: string|null}} Presence
 * @typedef {{presence: Record<string, Presence>, typing: string[], own: {state: string, text?: string}|null}} People
 *   `typing`: ids of users; `own` is null until the server has told it
 */

/** @type {People} */
export const NOBODY = Object.freeze({ presence: {}, typing: [], own: null });

export class RoomPeople {
  #client;
  #onChange;
  #people = NOBODY;
  /** @type {string|null} */
  #room = null;
  #watched = "";
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();
  #toldAt = -Infinity;

  /**
   * @param {import("../vigil-client.js").VigilClient} client
   * @param {(people: People) => void} onChange
   */
  constructor(client, onChange) {
    this.#client = client;
    this.#onChange = onChange;
    client.on("presence", ({ userId, ...presence }) => this.#onPresence(userId, presence));
    client.on("own-presence", (own) => this.#change({ own }));
    client.on("typing", ({ userId, ttlMs }) => this.#onTyping(userId, ttlMs));
  }

  /**
   * The socket is in the room: it watches nobody yet.
   * @param {string} room
   */
  async joined(room) {
    this.#room = room;
    this.#watched = "";
    this.#change({ presence: {}, own: await this.#client.emit("presence-set") });
  }

  /** Another account may be next. */
  forget() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#room = null;
    this.#people = NOBODY;
  }

  /**
   * Asks to see the presence of the members, if others have come or gone.
   * @param {import("./chat-room.js").Member[]} members
   */
  async watch(members) {
    const wanted = members.map(({ userId }) => userId).sort().join();
    if (this.#room === null || wanted === this.#watched) return;
    this.#watched = wanted;
    try {
      await this.#client.emit("chat:watch");
    } catch (error) {
      this.#watched = "";
      throw error;
    }
  }

  /**
   * @param {string} state
   * @param {string} text
   */
  async setOwn(state, text) {
    this.#change({ own: await this.#client.emit("presence-set", { state, ...(text && { text }) }) });
  }

  /**
   * The user types, or does so no more. Best effort, as the event is.
   * @param {boolean} isActive
   */
  async type(isActive) {
    const now = performance.now();
    if (this.#room === null || (isActive ? now - this.#toldAt < TELL_TYPING_MS : this.#toldAt === -Infinity)) return;
    this.#toldAt = isActive ? now : -Infinity;
    await this.#client.emit("typing-set", { to: { room: this.#room }, active: isActive }).catch(() => {});
  }

  /**
   * @param {string} userId
   * @param {Presence} presence
   */
  #onPresence(userId, presence) {
    this.#change({ presence: { ...this.#people.presence, [userId]: presence } });
  }

  /**
   * @param {string} userId
   * @param {number} ttlMs
   */
  #onTyping(userId, ttlMs) {
    clearTimeout(this.#timers.get(userId));
    this.#timers.delete(userId);
    if (ttlMs > 0) this.#timers.set(userId, setTimeout(() => this.#onTyping(userId, 0), ttlMs));
    this.#change({ typing: [...this.#timers.keys()] });
  }

  /** @param {Partial<People>} change */
  #change(change) {
    this.#people = { ...this.#people, ...change };
    this.#onChange(this.#people);
  }
}
