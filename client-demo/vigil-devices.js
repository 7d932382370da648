/**
 * The list of a user's devices, updated by the server's events: a pure reducer, and the subscription that feeds it.
 */
import { asVigilError } from "./vigil-errors.js";
import { retryDelay, sleep } from "./vigil-reconnect.js";

/** @typedef {import("./vigil-types.js").Session} Session */

/**
 * `newestVersion`: the newest version in any event. `stale`: an event was missed, so the list must be fetched again.
 * @typedef {{sessions: Session[], version: number|null, newestVersion: number, ownSessionId: string|null,
 *   stale: boolean}} DevicesState
 *
 * @typedef {{type: "list", sessions: Session[], version: number}} ListEvent
 * @typedef {{type: "ready", sessionId: string, recovered: boolean}} ReadyEvent
 * @typedef {{type: "sessions-changed", version: number, change: "created"|"updated"|"removed",
 *   session: Partial<Session> & {sessionId: string}}} ChangedEvent
 * @typedef {{type: "device-status", sessionId: string, online: boolean, lastSeenAt: string}} StatusEvent
 * @typedef {ListEvent|ReadyEvent|ChangedEvent|StatusEvent} SessionsEvent
 */

/** @type {DevicesState} */
export const NO_DEVICES = Object.freeze({
  sessions: [], version: null, newestVersion: 0, ownSessionId: null, stale: true,
});

/**
 * The devices list after one event. Idempotent: an event that was applied or listed before changes nothing. A gap in
 * `version` marks the state stale.
 * @param {DevicesState} state
 * @param {SessionsEvent} event
 * @returns {DevicesState}
 */
export function applySessionsEvent(state, event) {
  switch (event.type) {
    case "list":
      return applyList(state, event);
    case "ready":
      return applyReady(state, event);
    case "sessions-changed":
      return applyChange(state, event);
    case "device-status":
      return applyStatus(state, event);
  }
}

/**
 * @param {DevicesState} state
 * @param {ListEvent} event
 */
function applyList(state, { sessions, version }) {
  // Events have overtaken this answer: it is older than the known list.
  if (state.version !== null && version < state.version) return state;
  return marked({ ...state, sessions, version, stale: version < state.newestVersion });
}

/**
 * @param {DevicesState} state
 * @param {ReadyEvent} event
 */
function applyReady(state, { sessionId, recovered }) {
  const isSameLogin = state.ownSessionId === null || state.ownSessionId === sessionId;
  const known = { ...(isSameLogin ? state : NO_DEVICES), ownSessionId: sessionId };
  // Without recovery the server may have lost its log and its version count: start again.
  return marked(recovered ? known : { ...known, version: null, newestVersion: 0, stale: true });
}

/**
 * @param {DevicesState} state
 * @param {ChangedEvent} event
 */
function applyChange(state, { version, change, session }) {
  const newestVersion = Math.max(state.newestVersion, version);
  if (state.version === null) return { ...state, newestVersion };
  if (version <= state.version) return state;
  const known = state.sessions.find((each) => each.sessionId === session.sessionId);
  const others = state.sessions.filter((each) => each !== known);
  const sessions = change === "removed" ? others : [...others, /** @type {Session} */ ({ ...known, ...session })];
  const stale = state.stale || version !== state.version + 1;
  // After a gap the version stays, so that the next list is not mistaken for an old one.
  return marked({ ...state, sessions, newestVersion, version: stale ? state.version : version, stale });
}

/**
 * @param {DevicesState} state
 * @param {StatusEvent} event
 */
function applyStatus(state, { sessionId, online, lastSeenAt }) {
  const sessions = state.sessions.map((each) =>
    each.sessionId === sessionId ? { ...each, online, lastSeenAt } : each);
  return { ...state, sessions };
}

/**
 * Sets `isCurrent` and sorts: this device first, then those online, then the latest login. Events are the same for
 * all devices, so `isCurrent` is set here.
 * @param {DevicesState} state
 * @returns {DevicesState}
 */
function marked(state) {
  const own = state.ownSessionId;
  const sessions = state.sessions.map((each) =>
    own === null ? each : { ...each, isCurrent: each.sessionId === own });
  return { ...state, sessions: sessions.sort(byRelevance) };
}

/**
 * @param {Session} a
 * @param {Session} b
 */
function byRelevance(a, b) {
  return Number(b.isCurrent) - Number(a.isCurrent)
    || Number(b.online) - Number(a.online)
    || b.loggedInAt.localeCompare(a.loggedInAt);
}

/**
 * Keeps a devices list up to date: applies events, and fetches the list when one was missed.
 * @param {import("./vigil-client.js").VigilClient} client
 * @param {(devices: DevicesState) => void} onChange called with each new state of the list
 * @returns {() => void} stops watching
 */
export function watchDevices(client, onChange) {
  let devices = NO_DEVICES;
  let listing = false;

  /** @param {SessionsEvent} event */
  const apply = (event) => {
    devices = applySessionsEvent(devices, event);
    onChange(devices);
    if (devices.stale) listAgain();
  };

  const listAgain = async () => {
    if (listing) return;
    listing = true;
    for (let attempt = 0; devices.stale && client.state.state === "live"; attempt++) {
      try {
        devices = applySessionsEvent(devices, { type: "list", ...(await client.sessions()) });
        onChange(devices);
      } catch (error) {
        if (!asVigilError(error).retryable) break;
      }
      if (devices.stale) await sleep(retryDelay(attempt));
    }
    listing = false;
  };

  const stops = [
    client.on("ready", (ready) => apply({ type: "ready", ...ready })),
    client.on("sessions-changed", (change) => apply({ type: "sessions-changed", ...change })),
    client.on("device-status", (status) => apply({ type: "device-status", ...status })),
  ];
  return () => stops.forEach((stop) => stop());
}
