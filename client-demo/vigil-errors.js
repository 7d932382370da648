/** Errors of the client: the server's error codes, which of them end the login and which can be retried. */

/** @typedef {import("./vigil-types.js").FieldError} FieldError */

/**
 * The session has ended: only a new login helps. No other code ends it: not a server error, not a proxy's answer, not
 * an unknown code.
 */
const TERMINAL_CODES = new Set(["invalid_token", "session_revoked", "session_expired", "refresh_reused"]);

const RETRYABLE_CODES = new Set([
  "unavailable", "internal_error", "rate_limited", "network", "timeout", "disconnected", "invalid_answer",
]);

/** An error of the protocol: `code` is for programs, `message` for people. */
export class VigilError extends Error {
  /**
   * @param {object} refusal
   * @param {string} refusal.code
   * @param {string} [refusal.message]
   * @param {number} [refusal.status] HTTP status, 0 when the refusal did not come over HTTP
   * @param {FieldError[]} [refusal.errors]
   * @param {number|null} [refusal.retryAfterMs]
   * @param {string|null} [refusal.requestId]
   * @param {boolean} [refusal.retryable] from the server; by default decided by the code
   * @param {string[]} [refusal.methods] with `step_up_required`: the methods to step up with
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
 * Converts anything thrown; errors that are not a `VigilError` become code `network`.
 * @param {unknown} error
 * @returns {VigilError}
 */
export function asVigilError(error) {
  if (error instanceof VigilError) return error;
  return new VigilError({ code: "network", message: error instanceof Error ? error.message : String(error) });
}
