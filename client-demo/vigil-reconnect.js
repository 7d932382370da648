/**
 * Retry rules: whether an error ends the login, needs a new token or is retried, and how long to back off.
 * Pure functions except `sleep`.
 */

/** @typedef {import("./vigil-errors.js").VigilError} VigilError */

/** The session may be fine; this access token (or its cookie) is not. */
const STALE_TOKEN_CODES = new Set(["token_expired", "missing_token"]);

/**
 * What to do when a handshake or a re-authentication was refused.
 *
 * `end`: the session has ended. `refresh`: get another token and try again. `retry`: try again after a delay; 500 or
 * 503 is never a logout.
 * @param {VigilError} error
 * @returns {"end"|"refresh"|"retry"}
 */
export function afterRefusal(error) {
  if (error.terminal) return "end";
  return STALE_TOKEN_CODES.has(error.code) ? "refresh" : "retry";
}

/**
 * The same for a refused refresh, where a missing or stale token ends the session.
 * @param {VigilError} error
 * @returns {"end"|"retry"}
 */
export function afterRefreshRefusal(error) {
  return afterRefusal(error) === "retry" ? "retry" : "end";
}

/**
 * Longest delay of the first retry. A node that dies is noticed by all its clients at once, so that the spread bounds
 * how many arrive elsewhere in a moment. The server announces a device as offline after 2 s without a connection.
 */
const FIRST_DELAY_MS = 1_750;
const MAX_DELAY_MS = 30_000;
/** The part of each delay that is random. The first one is at least 250 ms. */
const SPREAD = 6 / 7;
/** Limit of the jitter added to a delay that the server asked for. */
const MAX_JITTER_MS = 5_000;

/**
 * Delay before the next attempt, in milliseconds: exponential back-off with jitter, so that a node's clients do not
 * all reconnect at once. A delay that the server asked for is a lower bound.
 * @param {number} attempt 0 for the first retry
 * @param {number|null} [askedMs] `retryAfterMs` or `reconnectAfterMs`
 * @param {number} [random] in [0, 1)
 */
export function retryDelay(attempt, askedMs = null, random = Math.random()) {
  if (askedMs !== null) return askedMs + random * Math.min(Math.max(askedMs / 2, 250), MAX_JITTER_MS);
  const ceiling = Math.min(FIRST_DELAY_MS * 2 ** Math.min(attempt, 16), MAX_DELAY_MS);
  return ceiling * (1 - SPREAD * random);
}

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
