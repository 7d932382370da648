/** Error messages for users. */
import { asVigilError } from "../vigil-errors.js";
import { duration, lookUp } from "./format.js";

const CODES = {
  step_up_required: "Nothing was changed. Confirm it’s you first.",
  invalid_credentials: "Wrong e-mail address or password.",
  network: "The server cannot be reached. Check your connection and try again.",
  timeout: "The server did not answer in time. Try again.",
  disconnected: "The connection was lost before the server answered. Try again.",
  unavailable: "The server is temporarily unavailable. Try again in a moment.",
};

/** @param {import("../vigil-errors.js").VigilError} error */
export function errorSentence({ code, message, retryAfterMs }) {
  if (code === "rate_limited") return `Too many attempts. ${waitSentence(retryAfterMs)}`;
  return lookUp(CODES, code) ?? message;
}

/** @param {unknown} error of a passkey login, where `invalid_code` is about the passkey */
export function passkeyErrorSentence(error) {
  const refusal = asVigilError(error);
  return refusal.code === "invalid_code" ? "This passkey is no longer registered here. Use another method."
    : errorSentence(refusal);
}

/** @param {number|null} ms */
const waitSentence = (ms) => `Try again in ${ms === null ? "a moment" : duration(ms)}.`;

/** Whether a mailed link is expired, used or invalid. @param {unknown} error */
export const isLinkExpired = (error) => ["invalid_token", "token_expired"].includes(asVigilError(error).code);
