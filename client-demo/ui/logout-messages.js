/** Messages about logouts: the reason for this device's logout, and the result of logging out other devices. */
import { deviceName } from "./device-names.js";
import { longDate, lookUp, plural } from "./format.js";

/** @typedef {import("../vigil-types.js").Session} Session */

/**
 * Title of the logged-out view; names the device that ended the session if it is known.
 * @param {import("../vigil-client.js").End} end
 * @param {Map<string, Session>} knownDevices by session id
 * @param {string|null} ownSessionId
 */
export function logoutTitle({ by, reason, code }, knownDevices, ownSessionId) {
  if (code === "session_expired" || reason === "expired") return "Your session has expired";
  if (reason === "account_deleted") return `Your account ${by?.kind === "user" ? "will be" : "was"} deleted`;
  if (by?.kind === "admin") return "You were logged out by an administrator";
  if (by?.kind !== "user" || !by.sessionId) return "You were logged out";
  if (by.sessionId === ownSessionId) return OWN_TITLES[reason ?? ""] ?? "You ended this session";
  const device = knownDevices.get(by.sessionId);
  return `You were logged out by ${device ? deviceName(device) : "another device"}`;
}

/** Titles for what this device did itself, in this tab or another. */
const OWN_TITLES = { logout: "You logged out in another tab", logout_all: "You ended all your sessions" };

const REASONS = {
  logout: "You used this device's own log out button.",
  logout_all: "All devices of your account were logged out.",
  revoked: "Another of your devices logged this one out.",
  revoked_others: "That device logged out all others.",
  refresh_reused: "A copy of this login was used somewhere else, so all your sessions were ended. "
    + "If that was not you, change your password after logging in.",
  password_changed: "Your password was changed, so every device has to log in again.",
  role_changed: "The permissions of your account were changed. Log in again to continue.",
  admin: "An administrator ended this session.",
  expired: "The session reached its maximum age.",
  account_deleted: "This account was deleted.",
};

/** Reasons when the session ended because of something else that was done (`act`). */
const REASONS_BY_ACT = {
  two_factor_enabled: "Two-step verification was turned on there, so every other device has to log in again.",
  account_locked: "An administrator locked the account.",
  factors_removed: "The account's two-step verification was removed, so every device has to log in again.",
};

/** Reasons when no device ended the session: a mailed link or the server did. */
const REASONS_WITHOUT_DEVICE = {
  user: {
    revoked: "Someone used the link in our mail about this login, or about a change to the account, to report that it "
      + "was not the account's owner.",
    password_changed: "A new password was set with a mailed link, so every device has to log in again.",
  },
  system: { revoked: "The account was logged in on more devices than allowed." },
};

const END_CODES = {
  session_revoked: "This session was ended while this device was not connected.",
  session_expired: REASONS.expired,
  refresh_reused: REASONS.refresh_reused,
  invalid_token: "The server no longer accepts this session.",
};

/**
 * @param {import("../vigil-client.js").End} end
 * @param {import("./server-config.js").Config} config
 */
export function logoutReason({ reason, code, by, at, act }, { lifetimes }) {
  if (reason === "account_deleted" && by?.kind === "user") return deletionSentence(at, lifetimes.accountDeletionMs);
  const withoutDevice = by && !by.sessionId ? REASONS_WITHOUT_DEVICE[by.kind] : undefined;
  return lookUp(REASONS_BY_ACT, act) ?? lookUp(withoutDevice ?? {}, reason) ?? lookUp(REASONS, reason)
    ?? lookUp(END_CODES, code) ?? "The server ended this session.";
}

/**
 * @param {string|null} at when the deletion was requested
 * @param {number|undefined} graceMs how long it can be cancelled
 */
function deletionSentence(at, graceMs) {
  const time = at && graceMs ? `Until ${longDate(Date.parse(at) + graceMs)} you` : "You";
  return `${time} can cancel the deletion: log in again and press “Keep my account”.`;
}

/**
 * Result of logging out devices.
 * @param {import("../vigil-types.js").Delivery} delivery
 * @param {number} loggedOut how many devices were logged out
 */
export function deliverySentence(delivery, loggedOut) {
  const outcome = deliveryOutcome(delivery, loggedOut);
  if (loggedOut === 0) return outcome;
  return `${loggedOut === 1 ? "Logged out." : `${loggedOut} devices logged out.`} ${outcome}`;
}

/**
 * What became of the live connections. A device has one connection for each tab, and none while it is offline.
 * @param {import("../vigil-types.js").Delivery} delivery
 * @param {number} loggedOut how many devices were logged out
 */
export function deliveryOutcome({ sockets, acknowledged, closed, pending, incomplete }, loggedOut) {
  if (loggedOut === 0) return "There was no other device to log out.";
  if (incomplete) return "Live connections could not be counted; they close within seconds.";
  if (sockets === 0) return loggedOut === 1 ? "It was offline." : "They were offline.";
  const connections = plural(sockets, "connection");
  if (pending > 0) return `${closed} of ${connections} closed so far.`;
  if (acknowledged < sockets) return `${acknowledged} of ${connections} confirmed it; all are closed.`;
  return loggedOut === 1 ? "The device confirmed it." : `${connections} confirmed it.`;
}
