/**
 * Event emitter, acknowledgements, and de-duplication of replayed events.
 */
import { VigilError } from "./vigil-errors.js";

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
        // An error in one listener must not keep the event from the others.
        reportError(error);
      }
    }
  }
}

/**
 * Emits an event. Resolves with the acknowledgement; rejects with a `VigilError` when it is an error or does not come.
 * @param {import("./vigil-connection.js").SocketLike} socket
 * @param {string} event
 * @param {object} payload
 * @param {number} timeoutMs
 * @param {(answer: any) => any} [onServed] called before any later event is dispatched; this resolves
 *   with what it returns
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

const MAX_SEEN_EVENTS = 1_000;

/** Position in the user's event log: where to resume after a reconnect, and which events were dispatched already. */
export class EventCursor {
  /** @type {number|null} */
  lastEventId = null;
  /** @type {Set<number>} */
  #seen = new Set();

  /**
   * @param {any} payload
   * @returns {boolean} false for an event that was dispatched before
   */
  isNew(payload) {
    const eventId = payload?.eventId;
    if (typeof eventId !== "number") return true;
    if (this.#seen.has(eventId)) return false;
    this.#seen.add(eventId);
    if (this.#seen.size > MAX_SEEN_EVENTS) this.#seen.delete(this.#seen.values().next().value ?? 0);
    this.lastEventId = Math.max(eventId, this.lastEventId ?? 0);
    return true;
  }

  /**
   * With recovery the missed events follow: the position stays, in case the connection breaks before they have all
   * arrived. Without recovery the server may have started counting again, so known ids may be other events.
   * @param {{lastEventId: number|null, recovered: boolean}} ready
   */
  connected({ lastEventId, recovered }) {
    if (recovered && this.lastEventId !== null) return;
    this.lastEventId = lastEventId ?? this.lastEventId;
    this.#seen.clear();
  }
}

/** The server takes no more than these. */
const MAX_PLACES = 256;

/** @typedef {{historyId: number, proof: string}} Place */

/** Places in the histories of rooms: where to resume each after a reconnect. */
export class RoomPlaces {
  /** @type {Map<string, Place>} */
  #places = new Map();

  /** For the handshake. */
  get named() {
    return Object.fromEntries([...this.#places].slice(-MAX_PLACES));
  }

  /**
   * @param {any} payload
   * @returns {boolean} false for an event of a room that was dispatched before
   */
  isNew(payload) {
    const place = this.#places.get(payload?.historyRoom);
    if (!place) return true;
    if (payload.historyId <= place.historyId) return false;
    place.historyId = payload.historyId;
    return true;
  }

  /**
   * Of rooms that need not be read anew, the missed events follow: a place stays, in case the connection breaks before
   * they have all arrived.
   * @param {{joined?: Record<string, Place>, rooms?: string[]}} ready
   */
  connected({ joined = {}, rooms = [] }) {
    for (const [room, place] of Object.entries(joined)) this.entered({ room, ...place, recovered: !rooms.includes(room) });
  }

  /** @param {Place & {room: string, recovered: boolean}} entered */
  entered({ room, historyId, proof, recovered }) {
    const known = recovered ? this.#places.get(room) : undefined;
    this.#places.set(room, { historyId: known?.historyId ?? historyId, proof });
  }

  /** @param {{room: string}} left */
  left({ room }) {
    this.#places.delete(room);
  }
}
