/**
 * Where a mailed link or a provider sends the browser, read from the address. What an address carries is
 * taken out of it at once: a reload must not act again, and no history keeps a token.
 */

const VERIFY_FAILURES = {
  token_expired: "That link has expired. Ask for a new one.",
  invalid_token: "That link is not valid any more. Ask for a new one, or log in if it was used already.",
};

const PROVIDER_FAILURES = {
  access_denied: "You turned back at the provider. Nothing has changed.",
  provider_failed: "The provider's answer could not be believed. Try again, or log in another way.",
  unavailable: "The provider does not answer. Try again later, or log in another way.",
  invalid_token: "That took too long, or was begun in another browser. Try again.",
  conflict: "An account here has that address, or that login. Log in to it, and link the provider there.",
  email_not_verified: "Confirm your e-mail address first: a link is on its way.",
  account_locked: "This account is locked.",
  session_limit_reached: "You are logged in on as many devices as are allowed. Log out on one of them first.",
  rate_limited: "Too many attempts. Try again in a few minutes.",
  session_revoked: "The login that began this has ended. Log in again.",
};

const warning = (text) => ({ tone: "warning", text });

/** @param {string|null} code */
const providerFailure = (code) => warning(PROVIDER_FAILURES[code ?? ""] ?? PROVIDER_FAILURES.provider_failed);

/**
 * @param {{search: string, hash: string}} address
 * @returns {{screen?: string, notice?: object, token?: string, mfa?: object, account?: object}|null}
 *   a screen of the entrance, news for the account's page, or neither
 */
export function arrivalOf({ search, hash }) {
  const query = new URLSearchParams(search);
  const fragment = new URLSearchParams(hash.slice(1));
  for (const [name, screen] of [["reset", "reset"], ["email", "confirm-email"], ["notme", "not-me"]]) {
    const token = query.get(name);
    if (token) return { screen, token };
  }
  const mfaToken = fragment.get("mfa");
  if (mfaToken) {
    const methods = (fragment.get("methods") ?? "").split(",");
    return { screen: "second-factor", mfa: { mfaToken, methods, expiresAt: fragment.get("expiresAt") } };
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
  return { tone: "good", text: "Linked. You can log in by it from now on." };
}
