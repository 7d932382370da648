/** Names and details of audit events. */
import { capitalised, lookUp } from "./format.js";

/** @param {string} kind of an audit event */
export const eventName = (kind) => capitalised(kind.replaceAll("_", " "));

/** Authentication methods: names of RFC 8176 and our own. */
const METHODS = {
  pwd: "password", otp: "authenticator app", hwk: "passkey", sms: "SMS", mfa: "two steps", mca: "approval on another device",
  recovery_code: "recovery code",
};

/**
 * @param {Record<string, string>} [details] of an event
 * @returns {string} in words: "by password · roles: admin"
 */
export function eventDetails(details = {}) {
  // How tokens are delivered does not interest users.
  return Object.entries(details).filter(([name]) => name !== "delivery").map(([name, value]) => {
    if (name !== "amr") return `${name.replaceAll("_", " ")}: ${value.replaceAll("_", " ")}`;
    return `by ${value.split(/[\s,]+/).map((method) => lookUp(METHODS, method) ?? method).join(", ")}`;
  }).join(" · ");
}
