/**
 * URL parameters of mailed links and of redirects from providers. The caller removes them from the URL at once, so that
 * a reload does not repeat the action and the browser's history does not keep a token.
 */

const VERIFY_FAILURES = {
  token_expired: "This link has expired. Request a new one.",
  invalid_token: "This link is no longer valid. Request a new one, or log in if you already used it.",
};

const PROVIDER_FAILURES = {
  access_denied: "You cancelled at the provider. Nothing was changed.",
  provider_failed: "The provider's answer could not be verified. Try again, or use another login method.",
  unavailable: "The provider is not responding. Try again later, or use another login method.",
  invalid_token: "The login took too long, or was started in another browser. Try again.",
  conflict: "An account with this address or login already exists. Log in to it, and link the provider on the account page.",
  email_not_verified: "Confirm your e-mail address first: a link was sent to you.",
  account_locked: "This account is locked.",
  session_limit_reached: "You are logged in on the maximum number of devices. Log out on one of them first.",
  rate_limited: "Too many attempts. Try again in a few minutes.",
  session_revoked: "The session that started this has ended. Log in again.",
};

const warning = (text) => ({ tone: "warning", text });

/** @param {string|null} code */
const providerFailure = (code) => warning(PROVIDER_FAILURES[code ?? ""] ?? PROVIDER_FAILURES.provider_failed);

/**
 * @param {Location} location
 * @returns {{screen?: string, notice?: object, token?: string, mfa?: object, returnTo?: string,
 *   account?: object}|null} a screen of the login view, or a notice for the account page; null for none
 */
export function readUrlParameters({ search, hash }) {
  const query = new URLSearchParams(search);
  const fragment = new URLSearchParams(hash.slice(1));
  for (const [name, screen] of [["reset", "reset"], ["email", "confirm-email"], ["notme", "not-me"]]) {
    const token = query.get(name);
    if (token) return { screen, token };
  }
  const mfaToken = fragment.get("mfa");
  if (mfaToken) {
    const methods = (fragment.get("methods") ?? "").split(",");
    const mfa = { mfaToken, methods, expiresAt: fragment.get("expiresAt") };
    return { screen: "second-factor", mfa, returnTo: fragment.get("returnTo") ?? "" };
  }
  if (query.has("login")) return { screen: "login", notice: providerFailure(query.get("login")) };
  if (query.has("linked")) return { account: linked(query) };
  return query.has("verified") ? verified(query) : null;
}

/** @param {URLSearchParams} query */
function verified(query) {
  if (query.get("verified") === "1") {
    return { screen: "login", notice: { tone: "good", text: "Your e-mail address is verified." } };
  }
  return { screen: "resend", notice: warning(VERIFY_FAILURES[query.get("code") ?? ""] ?? VERIFY_FAILURES.invalid_token) };
}

/** @param {URLSearchParams} query */
function linked(query) {
  if (query.get("linked") === "0") return providerFailure(query.get("code"));
  return { tone: "good", text: "Linked. You can now log in with it." };
}
