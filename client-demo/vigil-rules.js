/**
 * The rules of the live session, without a socket, a clock or a page: what an error means, what to do
 * about it, how long to wait. Everything here is a pure function of its arguments.
 */

/**
 * @typedef {{name: string, browser: string|null, os: string|null,
 *   kind: "desktop"|"phone"|"tablet"|"bot"|"other"}} Device
 *
 * @typedef {object} Session
 * @property {string} sessionId
 * @property {Device} device
 * @property {string} userAgent
 * @property {string} ip
 * @property {{city: string|null, country: string|null}|null} location `country` is an ISO 3166-1 code
 * @property {string} loggedInAt
 * @property {string} lastSeenAt
 * @property {string} expiresAt
 * @property {boolean} isCurrent
 * @property {boolean} online
 * @property {string[]} amr
 *
 * @typedef {{sockets: number, notified: number, acknowledged: number, closed: number, pending: number}} Delivery
 * @typedef {{kind: "user"|"admin"|"system", sessionId?: string|null}} Actor
 * @typedef {{field: string, message: string}} FieldError
 */

/** Asking again cannot help: this login is over and only a new one starts another. */
const TERMINAL_CODES = new Set(["invalid_token", "session_revoked", "session_expired", "refresh_reused"]);

/** The session may be fine, only this access token (or its cookie) is not. */
const STALE_TOKEN_CODES = new Set(["token_expired", "missing_token"]);

const RETRYABLE_CODES = new Set(["unavailable", "rate_limited", "network", "timeout", "disconnected"]);

/** A refusal, in the protocol's own terms: `code` is for programs, `message` for people. */
export class VigilError extends Error {
  /**
   * @param {object} refusal
   * @param {string} refusal.code
   * @param {string} [refusal.message]
   * @param {number} [refusal.status] HTTP status, 0 when the refusal did not come over HTTP
   * @param {FieldError[]} [refusal.errors]
   * @param {number|null} [refusal.retryAfterMs]
   * @param {string|null} [refusal.requestId]
   * @param {boolean} [refusal.retryable] what the server says; by default the code decides
   * @param {string[]} [refusal.methods] with `step_up_required`: how the person can prove that it is them
   */
  constructor(refusal) {
    const { code, message, status = 0, errors = [], retryAfterMs = null, requestId = null, retryable } = refusal;
    super(message ?? code);
    this.name = "VigilError";
    this.code = code;
    this.status = status;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
    this.requestId = requestId;
    this.methods = refusal.methods ?? [];
    this.retryable = retryable ?? (RETRYABLE_CODES.has(code) || status >= 500);
    this.terminal = TERMINAL_CODES.has(code);
  }
}

/**
 * What thrown thing was this, in the protocol's terms?
 * @param {unknown} error
 * @returns {VigilError}
 */
export function asVigilError(error) {
  if (error instanceof VigilError) return error;
  return new VigilError({ code: "network", message: error instanceof Error ? error.message : String(error) });
}

/**
 * What to do when a refresh, a handshake or a re-authentication was refused.
 *
 * `end`: ask the person to log in. `refresh`: this token is stale, take another and try again.
 * `retry`: the login is fine, the way to the server is not; being told 503 is never a logout.
 * @param {VigilError} error
 * @returns {"end"|"refresh"|"retry"}
 */
export function afterRefusal(error) {
  if (error.terminal) return "end";
  if (STALE_TOKEN_CODES.has(error.code)) return "refresh";
  return error.retryable ? "retry" : "end";
}

/**
 * A refused refresh is final unless it is a matter of reaching the server: nothing fresher than a
 * refresh token can be had.
 * @param {VigilError} error
 * @returns {"end"|"retry"}
 */
export function afterRefreshRefusal(error) {
  return error.retryable ? "retry" : "end";
}

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
const LONGEST_SPREAD_MS = 5_000;

/**
 * How long to wait before trying again. Jitter keeps a node's clients from coming back as one wave;
 * a delay the server asked for is a lower bound.
 * @param {number} attempt 0 for the first retry
 * @param {number|null} [askedMs] `retryAfterMs` or `reconnectAfterMs`
 * @param {number} [random] in [0, 1)
 */
export function retryDelay(attempt, askedMs = null, random = Math.random()) {
  if (askedMs !== null) return askedMs + random * Math.min(Math.max(askedMs / 2, 250), LONGEST_SPREAD_MS);
  const ceiling = Math.min(FIRST_DELAY_MS * 2 ** Math.min(attempt, 16), LONGEST_DELAY_MS);
  return ceiling * (0.5 + random / 2);
}

/**
 * Identity claims of an access token, unverified: good for telling two tokens apart, never for trust.
 * @param {string|null} accessToken
 * @returns {{sid: string|null, lifetimeMs: number|null}}
 */
export function readClaims(accessToken) {
  try {
    const part = /** @type {string} */ (accessToken).split(".")[1];
    const claims = JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/")));
    const seconds = claims.exp - claims.iat;
    return { sid: claims.sid ?? null, lifetimeMs: seconds > 0 ? seconds * 1000 : null };
  } catch {
    return { sid: null, lifetimeMs: null };
  }
}
