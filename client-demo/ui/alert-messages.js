/** Messages of security alerts. */
import { describeDevice } from "./device-names.js";
import { capitalised } from "./format.js";

/** @typedef {import("../vigil-types.js").Session} Session */

/** Whether an alert is about a login, not about the use of an earlier one. @param {string} kind */
export const isLoginAlert = (kind) => kind === "new_device" || kind === "new_country";

/** Whether the alert offers "This wasn't me", which ends the session. @param {string} kind */
export const canBeReported = (kind) => isLoginAlert(kind) || kind === "refresh_elsewhere";

/**
 * @param {string[]} kinds of the alerts about one session
 * @param {Partial<Session>} session
 */
export function alertSentence(kinds, session) {
  const device = capitalised(describeDevice(session));
  const kind = kinds[0];
  if (kinds.includes("new_device") && kinds.includes("new_country")) return `New device, in a new country: ${device}.`;
  if (kind === "new_device") return `New device: ${device}.`;
  if (kind === "new_country") return `Login from a new country: ${device}.`;
  if (kind === "refresh_reused") return `A copied login was used and blocked: ${device}.`;
  if (kind === "refresh_elsewhere") return `One of your logins is also used from somewhere else: ${device}.`;
  return `Security alert: ${kind.replaceAll("_", " ")}. ${device}.`;
}
