/**
 * Events: handing them to listeners, emitting them, and knowing which of the server's were seen already.
 */
import { VigilError } from "./vigil-rules.js";

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

/**
 * Emits, and resolves with the acknowledgement; rejects with the refusal that it is.
 * @param {import("./vigil-connection.js").SocketLike} socket
 * @param {string} event
 * @param {object} payload
 * @param {number} timeoutMs
 * @param {(answer: any) => any} [onServed] called before any event that follows the acknowledgement is handed out;
 *   what it returns is what this resolves with
 * @returns {Promise<any>}
 */
export function acknowledged(socket, event, payload, timeoutMs, onServed = (answer) => answer) {
  return new Promise((resolve, reject) => {
    socket.timeout(Math.max(timeoutMs, 1)).emit(event, payload, (error, answer) => {
      if (!error && answer?.ok) return resolve(onServed(answer));
      reject(error ? noAnswer(socket, error) : refusedBy(answer));
    });
  });
}

/**
 * @param {import("./vigil-connection.js").SocketLike} socket
 * @param {Error} error
 */
function noAnswer({ connected }, { message }) {
  return new VigilError({ code: connected ? "timeout" : "disconnected", message });
}

/** @param {any} answer */
function refusedBy(answer) {
  const { code = "invalid_answer", message, retryAfterMs, methods } = answer ?? {};
  return new VigilError({ code, message, retryAfterMs, methods });
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
