/**
 * Access token of this tab: kept in memory only, refreshed by one tab for all of them.
 *
 * A refresh holds the cross-tab lock. A tab that waited for the lock uses a newer token from another tab, if one was
 * announced meanwhile, instead of refreshing.
 */
import { VigilError } from "./vigil-errors.js";
import { sleep } from "./vigil-reconnect.js";
import { PageLock, TabChannel, tabLock } from "./vigil-tabs.js";

/**
 * `expiresAt` is the server's clock, in milliseconds. `accessToken` is null when it travels in a cookie.
 * @typedef {{accessToken: string|null, expiresAt: number, lifetimeMs: number, sessionId: string|null}} Token
 * @typedef {"login"|"refresh"|"sibling"} TokenSource
 *
 * Where a native app keeps its refresh token (delivery "body"): a keychain, never localStorage.
 * @typedef {object} RefreshTokenStorage
 * @property {() => string|null|Promise<string|null>} get
 * @property {(token: string) => void|Promise<void>} set
 * @property {() => void|Promise<void>} clear
 *
 * @typedef {{accessToken?: string, accessTokenExpiresAt: string, refreshToken?: string}} Grant
 */

/** How long a new tab waits for other tabs' token before it refreshes: about twice as long as they need to answer. */
const SIBLING_ANSWER_MS = 100;

/** Holds the lock until other tabs have received the new token. */
const HAND_OVER_MS = 30;

/** Access token of this tab, renewed through the cross-tab lock. */
export class TokenKeeper {
  /** @type {Token|null} */
  current = null;
  #api;
  #delivery;
  #storage;
  #onToken;
  #onSibling;
  #lock;
  #channel;
  /** @type {Promise<Token>|null} */
  #renewing = null;
  /** Counts logins and logouts: a refresh that was in flight during one must not restore the old session. */
  #epoch = 0;

  /**
   * @param {object} options
   * @param {import("./vigil-http.js").Api} options.api
   * @param {"cookie"|"cookies"|"body"} options.delivery
   * @param {RefreshTokenStorage|null} options.storage
   * @param {string|null} options.name name shared by the tabs that share a login; null: no sharing
   * @param {(token: Token, source: TokenSource) => void} options.onToken
   * @param {(what: "login"|"logout") => void} options.onSibling
   */
  constructor({ api, delivery, storage, name, onToken, onSibling }) {
    this.#api = api;
    this.#delivery = delivery;
    this.#storage = storage;
    this.#onToken = onToken;
    this.#onSibling = onSibling;
    this.#lock = name === null ? new PageLock() : tabLock(`${name}:refresh`);
    this.#channel = name === null ? null : new TabChannel(name, (message) => this.#receive(message));
  }

  /** False when there are certainly no credentials for a refresh. */
  async canRestore() {
    if (this.#delivery === "body") return (await this.#storage?.get()) != null;
    return this.#api.mayHaveCookies();
  }

  /**
   * Rejects with `cookies_blocked`, and logs out if possible, when the browser does not send back the cookies of this
   * login: it blocks third-party cookies, or the server restricts its cookies to its own site. A page cannot tell which.
   * @param {Grant} grant the login's answer
   */
  async checkCookiesKept({ accessToken }) {
    if (this.#delivery === "body" || (await this.#api.keepsCookies())) return;
    if (accessToken) await this.#api.request("POST", "/logout", { accessToken }).catch(() => undefined);
    throw new VigilError({
      code: "cookies_blocked",
      message: "The browser did not send back the cookies of this login: either the server sets no cookies for pages "
        + "of other sites (VIGIL_COOKIE_SAME_SITE), or this browser blocks third-party cookies. Open this page on "
        + "the server's own domain, or change these settings.",
    });
  }

  /** Remaining life of the current token, by the server's clock. */
  remainingMs() {
    return this.current ? this.current.expiresAt - this.#api.serverNow() : 0;
  }

  /** @returns {Promise<Token>} a token with enough life left for a request */
  async usable() {
    return this.#isUsable() ? /** @type {Token} */ (this.current) : this.renew(this.current);
  }

  /**
   * @param {Token|null} replacing the token to replace; any other usable token is returned as it is
   * @returns {Promise<Token>}
   */
  async renew(replacing) {
    if (this.current !== replacing && this.#isUsable()) return /** @type {Token} */ (this.current);
    this.#renewing ??= this.#lock.run(() => this.#refresh(replacing)).finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  /**
   * Sends a login while no tab refreshes: the late answer of a refresh would replace the cookies of the login.
   * @template T
   * @param {() => Promise<T>} login
   * @returns {Promise<T>}
   */
  whileNoneRefreshes(login) {
    return this.#lock.run(login);
  }

  /** Marks a token as expired because the server refused it. @param {Token|null} token */
  markExpired(token) {
    if (token !== null && this.current === token) this.current = { ...token, expiresAt: 0 };
  }

  /** @param {Grant & {session?: {sessionId: string}}} grant the login's answer */
  async begin(grant) {
    this.#epoch++;
    await this.#take(grant, "login");
    this.#channel?.post({ type: "login" });
  }

  /** Clears the token and the storage. @param {{tellSiblings: boolean}} options */
  async forget({ tellSiblings }) {
    this.#epoch++;
    this.current = null;
    await this.#storage?.clear();
    if (tellSiblings) this.#channel?.post({ type: "logout" });
  }

  /** The refresh token for a request body; empty unless the delivery is "body". */
  async refreshTokenBody() {
    const refreshToken = this.#delivery === "body" ? await this.#storage?.get() : null;
    return refreshToken ? { refreshToken } : {};
  }

  close() {
    this.#channel?.close();
  }

  #isUsable() {
    if (!this.current) return false;
    return this.remainingMs() > Math.min(30_000, this.current.lifetimeMs / 5);
  }

  /** @param {Token|null} replacing */
  async #refresh(replacing) {
    if (!this.current) await this.#askSiblings();
    if (this.current !== replacing && this.#isUsable()) return /** @type {Token} */ (this.current);
    const epoch = this.#epoch;
    const grant = await this.#api.request("POST", "/refresh", { body: await this.refreshTokenBody() });
    if (epoch !== this.#epoch) throw new VigilError({ code: "disconnected", message: "another login began" });
    const token = await this.#take(grant, "refresh");
    this.#channel?.post({ type: "token", ...token });
    await sleep(HAND_OVER_MS);
    return token;
  }

  /**
   * @param {Grant & {session?: {sessionId: string}}} grant
   * @param {TokenSource} source
   */
  async #take(grant, source) {
    const accessToken = grant.accessToken ?? null;
    const claims = readClaims(accessToken);
    const expiresAt = Date.parse(grant.accessTokenExpiresAt);
    const lifetimeMs = claims.lifetimeMs ?? expiresAt - this.#api.serverNow();
    const sessionId = grant.session?.sessionId ?? claims.sid;
    const token = { accessToken, expiresAt, lifetimeMs, sessionId };
    // Set before awaiting the storage: a socket that is already live with this token must be able to use it.
    this.current = token;
    if (grant.refreshToken) await this.#storage?.set(grant.refreshToken);
    this.#onToken(token, source);
    return token;
  }

  async #askSiblings() {
    if (!this.#channel?.carriesTokens) return;
    this.#channel?.post({ type: "token-wanted" });
    for (let waited = 0; waited < SIBLING_ANSWER_MS && !this.current; waited += 10) await sleep(10);
  }

  /** @param {import("./vigil-tabs.js").TabMessage} message */
  #receive(message) {
    if (message.type === "login" || message.type === "logout") return this.#onSibling(message.type);
    if (message.type === "token-wanted") return this.#answerSibling();
    this.#adopt(message);
  }

  #answerSibling() {
    if (this.current && this.#isUsable()) this.#channel?.post({ type: "token", ...this.current });
  }

  /** @param {import("./vigil-tabs.js").TokenMessage} message */
  #adopt({ accessToken, expiresAt, lifetimeMs, sessionId }) {
    const wanted = this.current
      ? this.current.sessionId === sessionId && this.current.expiresAt < expiresAt
      : this.#renewing !== null;
    if (!wanted) return;
    this.current = { accessToken, expiresAt, lifetimeMs, sessionId };
    this.#onToken(this.current, "sibling");
  }
}

/**
 * Claims of an access token, not verified: for telling sessions apart, never for authorization.
 * @param {string|null} accessToken
 * @returns {{sid: string|null, lifetimeMs: number|null}}
 */
function readClaims(accessToken) {
  try {
    const part = /** @type {string} */ (accessToken).split(".")[1];
    const claims = JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/")));
    const seconds = claims.exp - claims.iat;
    return { sid: claims.sid ?? null, lifetimeMs: seconds > 0 ? seconds * 1000 : null };
  } catch {
    return { sid: null, lifetimeMs: null };
  }
}
