// Why a request is refused: codes and statuses of Vigil's protocol, section 1.

/** @type {Record<string, [number, string]>} */
const REFUSALS = {
  missing_token: [401, "An access token is required, as a bearer token."],
  invalid_token: [401, "The access token is not valid."],
  token_expired: [401, "The access token has expired."],
  session_revoked: [401, "The session was ended."],
  unavailable: [503, "Access tokens cannot be verified at the moment."],
};

/** A refusal. `code` and `status` are for the response; the message is for people. */
export class VerificationError extends Error {
  constructor(code) {
    super(REFUSALS[code][1]);
    this.name = "VerificationError";
    this.code = code;
    this.status = REFUSALS[code][0];
  }

  /** Headers of the response. */
  get headers() {
    if (this.status !== 401) return { "Retry-After": "1" };
    const error = this.code === "missing_token" ? "" : ' error="invalid_token"';
    return { "WWW-Authenticate": `Bearer${error}` };
  }

  /** The response as JSON. */
  get body() {
    return { success: false, code: this.code, message: this.message };
  }
}
