/**
 * Events: handing them to listeners, and knowing which of the server's were seen already.
 */

export class Emitter {
  /** @type {Map<string, Set<(payload: any) => void>>} */
  #listeners = new Map();

  /**
   * @param {string} event
   * @param {(payload: any) => void} listener
   * @returns {() => void} stops listening
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /**
   * @param {string} event
   * @param {any} payload
   */
  dispatch(event, payload) {
    for (const listener of [...this.#listeners.get(event) ?? []]) {
      try {
        listener(payload);
      } catch (error) {
        // One listener's mistake must not keep the others from hearing the event.
        reportError(error);
      }
    }
  }
}

const REMEMBERED_EVENTS = 1_000;

/** This client's place in the user's event log: what to ask for after a reconnect, what to hand out once. */
export class EventCursor {
  /** @type {number|null} */
  lastEventId = null;
  /** @type {Set<number>} */
  #seen = new Set();

  /**
   * @param {any} payload
   * @returns {boolean} false for an event that was handed out before
   */
  isNew(payload) {
    const eventId = payload?.eventId;
    if (typeof eventId !== "number") return true;
    if (this.#seen.has(eventId)) return false;
    this.#seen.add(eventId);
    if (this.#seen.size > REMEMBERED_EVENTS) this.#seen.delete(this.#seen.values().next().value ?? 0);
    this.lastEventId = Math.max(eventId, this.lastEventId ?? 0);
    return true;
  }

  /**
   * With recovery the missed events follow: the place to resume from is still our own, should the
   * connection break before they are all here. Without it the server's count may have begun anew, and
   * an id seen before need not be the same event.
   * @param {{lastEventId: number|null, recovered: boolean}} ready
   */
  connected({ lastEventId, recovered }) {
    if (recovered && this.lastEventId !== null) return;
    this.lastEventId = lastEventId ?? this.lastEventId;
    this.#seen.clear();
  }
}
