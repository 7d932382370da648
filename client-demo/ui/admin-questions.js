/** What administrators are asked before an action, in names and not in ids: `{title, text, label, withReason}`. */
import { deviceName, listOfNames } from "./device-names.js";
import { plural } from "./format.js";
import { html } from "./html.js";

/** @param {{name: string|null, email: string}} user */
export const shortName = ({ name, email }) => name || email;

/** Names are not unique: this one is. @param {{name: string|null, email: string}} user */
export const fullName = ({ name, email }) => (name ? `${name} (${email})` : email);

/** The devices that an action logs out. */
function devicesOf(sessions) {
  if (sessions.length === 0) return "No device is logged in now.";
  return html`This logs out ${plural(sessions.length, "device")}: <b>${listOfNames(sessions)}</b>.`;
}

export const lockQuestion = ({ user, sessions }) => ({
  title: `Lock ${shortName(user)}?`,
  text: html`<b>${fullName(user)}</b> cannot log in until you unlock the account. ${devicesOf(sessions)}`,
  label: "Lock, and log out all devices",
  withReason: true,
});

export const factorsQuestion = ({ user, sessions }) => ({
  title: `Remove two-step verification of ${shortName(user)}?`,
  text: html`For a user who has lost them: verify who is asking first. <b>${fullName(user)}</b> is notified by mail.
    ${" "}${devicesOf(sessions)}`,
  label: "Remove, and log out all devices",
});

export const endAllQuestion = ({ user, sessions }) => ({
  title: `Log out ${shortName(user)} everywhere?`,
  text: html`${devicesOf(sessions)} The account is <b>${fullName(user)}</b>.`,
  label: `Log out ${plural(sessions.length, "device")}`,
});

export const endQuestion = ({ user }, session) => ({
  title: `Log out ${deviceName(session)}?`,
  text: html`This logs out <b>${deviceName(session)}</b> of <b>${fullName(user)}</b>.`,
  label: "Log out",
});
