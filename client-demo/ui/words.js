/** Every sentence that is made from the protocol's data, as pure functions. */
import { asVigilError } from "../vigil-rules.js";

/** @typedef {import("../vigil-rules.js").Session} Session */

/**
 * @param {number} count
 * @param {string} noun
 * @param {string} [nouns]
 */
export const counted = (count, noun, nouns = `${noun}s`) => `${count} ${count === 1 ? noun : nouns}`;

/**
 * What the person who pressed "log out" is told. `delivery` counts live connections; a device with two
 * tabs has two, and then the sentence must not call them devices.
 * @param {import("../vigil-rules.js").Delivery} delivery
 * @param {number} [loggedOut] how many devices it was meant for
 */
export function deliverySentence({ sockets, notified, closed, pending }, loggedOut) {
  if (loggedOut === 0) return "There was no other device to log out.";
  if (sockets === 0) {
    const outcome = loggedOut === undefined || loggedOut === 1 ? "it is" : `${loggedOut} devices are`;
    return `No live connection to tell; ${outcome} logged out.`;
  }
  const noun = loggedOut !== undefined && loggedOut < sockets ? "connection" : "device";
  if (pending === 0) return `${counted(notified, noun)} told, ${closed} closed`;
  return `${closed} of ${counted(sockets, noun)} closed, ${pending} did not answer yet`;
}

const REASONS = {
  logout: "This login was ended with its own log out button.",
  logout_all: "Every device of your account was logged out at once.",
  revoked: "This login was ended on another of your devices.",
  revoked_others: "All your other devices were logged out there, or two-step login was turned on, which logs them "
    + "out too.",
  refresh_reused: "A copy of this login was used from somewhere else. To keep your account safe, your sessions "
    + "were ended. If you did not do this, change your password after logging in.",
  password_changed: "The password of your account was changed, so every device has to log in anew.",
  role_changed: "What your account is allowed to do was changed. Log in again to go on with it.",
  admin: "An administrator ended this session, or locked the account.",
  expired: "This login reached the end of its time.",
  account_deleted: "This account was deleted.",
};

/** What else is known of it when no device did it: a mailed link, or the server itself. */
const REASONS_WITHOUT_DEVICE = {
  user: {
    revoked: "The link in our mail about this login was followed, to say that it was not the account's owner.",
    password_changed: "A new password was chosen by a mailed link, so every device has to log in anew.",
  },
  system: { revoked: "The account was logged in on more devices than are allowed at once." },
};

/** How long the server keeps a deleted account for whoever changes their mind. */
const GRACE_DAYS = 14;

const END_CODES = {
  session_revoked: "This session was ended while this device was not connected.",
  session_expired: REASONS.expired,
  refresh_reused: REASONS.refresh_reused,
  invalid_token: "The server no longer accepts this login.",
};

/** @param {import("../vigil-client.js").End} end */
export function endReason({ reason, code, by, at }) {
  if (reason === "account_deleted" && by?.kind === "user") return deletionSentence(at);
  const withoutDevice = by && !by.sessionId ? REASONS_WITHOUT_DEVICE[by.kind] : undefined;
  return lookUp(withoutDevice ?? {}, reason) ?? lookUp(REASONS, reason) ?? lookUp(END_CODES, code) ?? "The server ended this session.";
}

/** @param {string|null} at when it was asked for */
function deletionSentence(at) {
  const until = at && new Date(Date.parse(at) + GRACE_DAYS * 86_400_000);
  const time = until ? `Until ${dateName(until)}` : `For ${GRACE_DAYS} days`;
  return `${time} you can take that back: log in again and press “Keep my account” on the account page.`;
}

/** @param {Date} date */
const dateName = (date) => date.toLocaleDateString([], { day: "numeric", month: "long", year: "numeric" });

/**
 * The headline of the logged-out screen, naming the device that did it where it is known.
 * @param {import("../vigil-client.js").End} end
 * @param {Map<string, Session>} knownDevices by session id
 * @param {string|null} ownSessionId
 */
export function endTitle({ by, reason, code }, knownDevices, ownSessionId) {
  if (code === "session_expired" || reason === "expired") return "Your session has expired";
  if (reason === "account_deleted") return `Your account is ${by?.kind === "user" ? "to be " : ""}deleted`;
  if (by?.kind === "admin") return "You were logged out by an administrator";
  if (by?.kind !== "user" || !by.sessionId) return "You were logged out";
  if (by.sessionId === ownSessionId) return OWN_TITLES[reason ?? ""] ?? "You ended this login";
  const device = knownDevices.get(by.sessionId);
  return `You were logged out by ${device ? deviceName(device) : "another device"}`;
}

/** What this very device did, in this tab or in another. */
const OWN_TITLES = { logout: "You logged out in another tab", logout_all: "You ended all your sessions" };

/** @param {Partial<Session>} session */
export function deviceName({ device }) {
  return device?.name || deviceSoftware({ device }) || "an unknown device";
}

/** @param {Partial<Session>} session */
export function deviceSoftware({ device }) {
  return [device?.browser, device?.os].filter(Boolean).join(" on ");
}

/**
 * A device by what the server saw of it. Its name comes last, and as what it is: whoever logged in chose it.
 * @param {Partial<Session>} session
 */
export function seenDevice(session) {
  const software = deviceSoftware(session);
  const seen = [software || "unknown browser", placeName(session), session.ip].filter(Boolean).join(", ");
  const name = session.device?.name;
  return name && name !== software ? `${seen}, calling itself “${name}”` : seen;
}

const COUNTRIES = new Intl.DisplayNames("en", { type: "region" });

/** @param {Partial<Session>} session */
export function placeName({ location }) {
  return [location?.city, countryName(location?.country)].filter(Boolean).join(", ");
}

/** @param {string|null|undefined} code */
function countryName(code) {
  return code && /^[A-Z]{2}$/.test(code) ? COUNTRIES.of(code) : code;
}

/** Whether an alert tells of a login, and not of what was done with an earlier one. @param {string} kind */
export const isNewsOfLogin = (kind) => kind === "new_device" || kind === "new_country";

/**
 * @param {string[]} kinds all that one thing was told as
 * @param {Partial<Session>} session
 */
export function alertSentence(kinds, session) {
  const device = capitalised(seenDevice(session));
  const kind = kinds[0];
  if (kinds.includes("new_device") && kinds.includes("new_country")) return `New device, in a new country: ${device}.`;
  if (kind === "new_device") return `New device: ${device}.`;
  if (kind === "new_country") return `Login from a new country: ${device}.`;
  if (kind === "refresh_reused") return `A copied login was used and stopped: ${device}.`;
  return `Security alert: ${kind.replaceAll("_", " ")}. ${device}.`;
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = /** @type {const} */ ([["day", 86_400], ["hour", 3_600], ["minute", 60]]);

/**
 * @param {string|number} time
 * @param {number} now milliseconds
 */
export function relativeTime(time, now) {
  const seconds = (now - new Date(time).getTime()) / 1000;
  for (const [unit, size] of UNITS) {
    if (seconds >= size) return RELATIVE.format(-Math.floor(seconds / size), unit);
  }
  return "just now";
}

/** @param {number} ms */
export function countdown(ms) {
  const seconds = Math.max(Math.ceil(ms / 1000), 0);
  const clock = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, "0")).join(":");
  return seconds < 3600 ? clock : `${Math.floor(seconds / 3600)}:${clock}`;
}

/** @param {string|number} time */
export function clockTime(time) {
  return new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** @param {string|number} time */
export function longDate(time) {
  return new Date(time).toLocaleDateString([], { dateStyle: "long" });
}

/** @param {string} kind of an event of the audit trail */
export const eventName = (kind) => capitalised(kind.replaceAll("_", " "));

/** How somebody proved that it was them, by the names of RFC 8176 and a few more. */
const PROOFS = {
  pwd: "password", otp: "authenticator app", hwk: "passkey", sms: "SMS", mfa: "two steps", mca: "approval on another device",
  recovery_code: "recovery code",
};

/**
 * @param {Record<string, string>} [details] of an event
 * @returns {string} in words: "by password · roles: admin"
 */
export function eventDetails(details = {}) {
  // How tokens travel is of no interest to a reader.
  return Object.entries(details).filter(([name]) => name !== "delivery").map(([name, value]) => {
    if (name !== "amr") return `${name.replaceAll("_", " ")}: ${value.replaceAll("_", " ")}`;
    return `by ${value.split(/[\s,]+/).map((proof) => lookUp(PROOFS, proof) ?? proof).join(", ")}`;
  }).join(" · ");
}

const CODES = {
  step_up_required: "Nothing was changed: that wants a proof that it is you.",
  invalid_credentials: "That e-mail address and password do not belong together.",
  network: "The server cannot be reached. Check your connection and try again.",
  timeout: "The server did not answer in time. Try again.",
  disconnected: "The connection was lost before the server answered. Try again.",
  unavailable: "The server is busy recovering. Nothing is lost; try again in a moment.",
};

/** @param {import("../vigil-rules.js").VigilError} error */
export function errorSentence({ code, message, retryAfterMs }) {
  if (code === "rate_limited") return `Too many attempts. ${waitSentence(retryAfterMs)}`;
  return lookUp(CODES, code) ?? message;
}

/** @param {unknown} error of a passkey's answer: it is no code that was typed */
export function passkeyProblem(error) {
  const refusal = asVigilError(error);
  return refusal.code === "invalid_code" ? "This passkey is not known here any more. Use another way."
    : errorSentence(refusal);
}

/** @param {number|null} ms */
function waitSentence(ms) {
  if (ms === null) return "Try again in a moment.";
  const seconds = Math.ceil(ms / 1000);
  return `Try again in ${seconds < 90 ? counted(seconds, "second") : counted(Math.ceil(seconds / 60), "minute")}.`;
}

/** @param {string} text */
export function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * @param {Record<string, string>} sentences
 * @param {string|null|undefined} key
 */
function lookUp(sentences, key) {
  return key && Object.hasOwn(sentences, key) ? sentences[key] : undefined;
}
