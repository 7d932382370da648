/** Names and details of audit events. Users read them in their own log, administrators in everybody's. */
import { capitalised, lookUp } from "./format.js";

/** By kind. tests/unit/test_audit_event_names.py compares them with the kinds that the server records. */
const NAMES = {
  access_denied: "An action was refused: the role is missing",
  account_erased: "The account was erased",
  account_locked: "The account was locked",
  account_unlocked: "The account was unlocked",
  admin_account_locked: "An account was locked by this administrator",
  admin_account_unlocked: "An account was unlocked by this administrator",
  admin_audit_read: "The audit log was read by this administrator",
  admin_factors_removed: "Login methods were removed by this administrator",
  admin_overview_read: "The overview was read by this administrator",
  admin_roles_changed: "Roles were changed by this administrator",
  admin_server_key_created: "A server key was created by this administrator",
  admin_server_key_revoked: "A server key was revoked by this administrator",
  admin_server_keys_listed: "The server keys were listed by this administrator",
  admin_session_ended: "A session was ended by this administrator",
  admin_sessions_ended: "All sessions of an account were ended by this administrator",
  admin_user_seen: "An account was viewed by this administrator",
  admin_users_searched: "Accounts were searched by this administrator",
  admin_webhook_created: "A webhook was created by this administrator",
  admin_webhook_deliveries_listed: "What a webhook did not accept was listed by this administrator",
  admin_webhook_removed: "A webhook was removed by this administrator",
  admin_webhook_secret_added: "A secret was added to a webhook by this administrator",
  admin_webhook_sent_again: "Facts were sent again to a webhook by this administrator",
  admin_webhooks_listed: "The webhooks were listed by this administrator",
  alert_dismissed: "An alert was answered with “It was me”",
  approval_allowed: "Login approval was turned on",
  approval_approved: "A login was approved on another device",
  approval_asked: "A login asked for approval",
  approval_changed: "Login approval was turned on or off",
  approval_denied: "A login was denied",
  approval_forbidden: "Login approval was turned off",
  approval_wrong_number: "A wrong approval number was chosen",
  data_exported: "The account’s data was downloaded",
  deletion_asked: "Deletion of the account was requested",
  deletion_taken_back: "Deletion of the account was cancelled",
  device_renamed: "A device was renamed",
  email_change_asked: "A change of the e-mail address was requested",
  email_change_cancelled: "The change of the e-mail address was cancelled",
  email_changed: "The e-mail address was changed",
  email_verified: "The e-mail address was confirmed",
  factor_undone: "A login method was removed by a mailed link",
  factors_removed: "Login methods were removed",
  identity_link_failed: "A provider could not be linked",
  identity_linked: "A provider was linked",
  identity_unlinked: "A provider was unlinked",
  identity_voided: "A provider’s link was removed: it belonged to an unconfirmed address",
  impossible_travel: "A login was used in two distant places within a short time",
  jobs_page_acted: "A job was changed on the jobs page",
  jobs_page_opened: "The jobs page was opened",
  keys_reset: "The keys were reset, and every session ended",
  login: "Logged in",
  login_denied: "A login to the account was denied",
  login_disowned: "“This wasn’t me” was chosen",
  login_failed: "A login failed",
  new_country: "A login came from a new country",
  new_device: "A new device logged in",
  passkey_added: "A passkey was added",
  passkey_copied: "A copy of a passkey was rejected",
  passkey_removed: "A passkey was removed",
  password_change_failed: "A change of the password failed",
  password_changed: "The password was changed",
  password_guessed: "Many wrong passwords were entered",
  password_rehashed: "The password was stored with a stronger hash",
  password_reset: "The password was reset by a mailed link",
  password_reset_asked: "A link to reset the password was requested",
  phone_added: "A phone number was added",
  phone_code_asked: "An SMS code was requested",
  phone_removed: "The phone number was removed",
  rapid_refresh: "A login was renewed unusually often",
  recovery_code_used: "A recovery code was used",
  recovery_codes_made: "New recovery codes were created",
  refresh_concurrent: "A login was renewed twice at the same time",
  refresh_elsewhere: "A login was also used from somewhere else",
  refresh_forged: "A forged token was rejected",
  refresh_late: "A renewal of a login came too late",
  refresh_replayed: "A renewal of a login was repeated",
  refresh_reused: "A copied login was used, and blocked",
  registered: "The account was created",
  registered_again: "Someone tried to create an account with this address again",
  roles_changed: "The roles were changed",
  second_factor_failed: "Two-step verification failed",
  server_key_created: "A server key was created by the operator of the server",
  server_key_revoked: "A server key was revoked by the operator of the server",
  server_key_used: "A backend acted with its server key",
  session_revoked: "A device was logged out",
  sessions_revoked_by_operator: "Sessions were ended by the operator of the server",
  sms_limited: "An SMS was not sent: the limit is reached",
  step_up: "Identity was confirmed for a sensitive change",
  step_up_failed: "Identity was not confirmed for a sensitive change",
  totp_disabled: "The authenticator app was turned off",
  totp_enabled: "The authenticator app was turned on",
  users_imported: "Accounts were imported by the operator of the server",
  user_provisioned: "The account was created by the backend of an application",
  webhook_created: "A webhook was created by the operator of the server",
  webhook_removed: "A webhook was removed by the operator of the server",
  webhook_secret_added: "A secret was added to a webhook by the operator of the server",
  webhook_sent_again: "Facts were sent again to a webhook by the operator of the server",
};

/** @param {string} kind of an audit event */
export const eventName = (kind) => lookUp(NAMES, kind) ?? capitalised(kind.replaceAll("_", " "));

/** The kind with this name. @param {string} text a name as shown, or the kind itself, as a person types it */
export function eventKind(text) {
  const typed = text.trim().toLowerCase();
  const known = Object.entries(NAMES).find(([, name]) => name.toLowerCase() === typed);
  return known ? known[0] : typed.replaceAll(" ", "_");
}

/** Authentication methods: names of RFC 8176 and our own. */
const METHODS = {
  pwd: "password", otp: "authenticator app", hwk: "passkey", sms: "SMS", mfa: "two steps", mca: "approval on another device",
  recovery_code: "recovery code",
};

/** Details that say nothing to people: how tokens are delivered, counters, ids. */
const TECHNICAL = new Set(["delivery", "generation", "bySession"]);

/** Who ended a session or changed an account. */
const ACTORS = { user: "by the account’s owner", admin: "by an administrator", system: "by the server" };

/**
 * @param {Record<string, string>} [details] of an event
 * @returns {string} in words: "by password · roles: admin"
 */
export function eventDetails(details = {}) {
  return Object.entries(details).filter(([name]) => !TECHNICAL.has(name)).map(([name, value]) => {
    if (name === "amr") return `by ${value.split(/[\s,]+/).map((method) => lookUp(METHODS, method) ?? method).join(", ")}`;
    const actor = name === "by" && lookUp(ACTORS, value);
    return actor || `${inWords(name)}: ${value.replaceAll("_", " ")}`;
  }).join(" · ");
}

/** @param {string} name such as `askedFrom` or `asked_from` */
const inWords = (name) => name.replaceAll("_", " ").replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
