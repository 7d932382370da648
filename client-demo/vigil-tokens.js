/**
 * Access tokens of this tab: kept in memory only, renewed by one tab for all of them.
 *
 * A refresh goes through the cross-tab lock; whoever waited for the lock first looks whether a sibling
 * has announced a newer token meanwhile, and then does not refresh at all.
 */
import { VigilError, asVigilError, readClaims } from "./vigil-rules.js";
import { NO_LOCK, TabChannel, sleep, tabLock } from "./vigil-tabs.js";

/**
 * `expiresAt` is the server's clock, in milliseconds. `accessToken` is null when it travels in a cookie.
 * @typedef {{accessToken: string|null, expiresAt: number, lifetimeMs: number, sessionId: string|null}} Token
 * @typedef {"login"|"refresh"|"sibling"} TokenSource
 * @typedef {"GET"|"POST"|"PUT"|"PATCH"|"DELETE"} Method
 *
 * Where a native app keeps its refresh token (delivery "body"): a keychain, never localStorage.
 * @typedef {object} RefreshTokenStorage
 * @property {() => string|null|Promise<string|null>} get
 * @property {(token: string) => void|Promise<void>} set
 * @property {() => void|Promise<void>} clear
 *
 * @typedef {{accessToken?: string, accessTokenExpiresAt: string, refreshToken?: string}} Grant
 */

/** Twice the time a sibling needs to answer; what a lone tab waits before it refreshes on load. */
const SIBLING_ANSWER_MS = 100;

/** Lets a sibling hear of the new token before it is given the lock. */
const HAND_OVER_MS = 30;

/** HTTP with the protocol's envelope, its errors and the CSRF header. */
export class Api {
  #options;
  #clockOffsetMs = 0;

  /** @param {{baseUrl: string, credentials: RequestCredentials, csrfCookie: string, timeoutMs: number}} options */
  constructor(options) {
    this.#options = options;
  }

  /** The server's clock, as far as its answers told: a device's own clock may be hours off. */
  serverNow() {
    return Date.now() + this.#clockOffsetMs;
  }

  /**
   * @param {number} serverTime milliseconds
   * @param {number} [precisionMs] a coarse reading never spoils a better one it agrees with
   */
  observeClock(serverTime, precisionMs = 0) {
    const offset = serverTime - Date.now();
    if (Math.abs(offset - this.#clockOffsetMs) > precisionMs) this.#clockOffsetMs = offset;
  }

  /** True when the readable companion of the HttpOnly cookies is there. */
  hasCsrfCookie() {
    return this.#csrfToken() !== null;
  }

  /**
   * @param {Method} method
   * @param {string} path
   * @param {{body?: object, accessToken?: string|null, timeoutMs?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<any>} the answer's `data`
   */
  async request(method, path, options = {}) {
    const response = await this.#fetch(method, path, options);
    // The Date header has whole seconds: half a second is the best guess of the rest.
    this.observeClock(Date.parse(response.headers.get("Date") ?? "") + 500, 1_000);
    const answer = await response.json().catch(() => null);
    if (response.ok && answer?.success) return answer.data ?? {};
    throw refusal(response, answer);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: object, accessToken?: string|null, timeoutMs?: number, signal?: AbortSignal}} options
   */
  async #fetch(method, path, { body, accessToken, timeoutMs = this.#options.timeoutMs, signal }) {
    const { baseUrl, credentials } = this.#options;
    const timeout = AbortSignal.timeout(timeoutMs);
    const csrf = method === "GET" ? null : this.#csrfToken();
    const headers = {
      Accept: "application/json",
      ...(body && { "Content-Type": "application/json" }),
      ...(accessToken && { Authorization: `Bearer ${accessToken}` }),
      ...(csrf && { "X-CSRF-Token": csrf }),
    };
    try {
      return await fetch(`${baseUrl}/api/auth${path}`, {
        method, headers, credentials, cache: "no-store",
        body: body && JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
    } catch (error) {
      throw asVigilError(error);
    }
  }

  #csrfToken() {
    const prefix = `${this.#options.csrfCookie}=`;
    const found = globalThis.document?.cookie.split("; ").find((pair) => pair.startsWith(prefix));
    return found ? decodeURIComponent(found.slice(prefix.length)) : null;
  }
}

/**
 * @param {Response} response
 * @param {any} answer null when the body was not JSON: a proxy spoke, not the server
 */
function refusal(response, answer) {
  const retryAfter = Number(response.headers.get("Retry-After") ?? NaN);
  return new VigilError({
    code: answer?.code ?? (response.status === 429 ? "rate_limited" : "unavailable"),
    message: answer?.message ?? "The server did not give a proper answer.",
    status: response.status,
    errors: answer?.errors,
    requestId: answer?.requestId ?? null,
    methods: answer?.methods,
    retryAfterMs: Number.isFinite(retryAfter) ? retryAfter * 1000 : null,
  });
}

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
  /** Counts logins and logouts: a refresh that straddles one must not bring the old session back. */
  #epoch = 0;

  /**
   * @param {object} options
   * @param {Api} options.api
   * @param {"cookie"|"cookies"|"body"} options.delivery
   * @param {RefreshTokenStorage|null} options.storage
   * @param {string|null} options.name what the tabs that share a login call it; null: this tab is alone
   * @param {(token: Token, source: TokenSource) => void} options.onToken
   * @param {(what: "login"|"logout") => void} options.onSibling
   */
  constructor({ api, delivery, storage, name, onToken, onSibling }) {
    this.#api = api;
    this.#delivery = delivery;
    this.#storage = storage;
    this.#onToken = onToken;
    this.#onSibling = onSibling;
    this.#lock = name === null ? NO_LOCK : tabLock(`${name}:refresh`);
    this.#channel = name === null ? null : new TabChannel(name, (message) => this.#hear(message));
  }

  /** False when a refresh is bound to fail, and need not be tried. */
  async maySignInSilently() {
    if (this.#delivery === "body") return (await this.#storage?.get()) != null;
    return this.#api.hasCsrfCookie();
  }

  /** How long the current token is good for, by the server's clock. */
  remainingMs() {
    return this.current ? this.current.expiresAt - this.#api.serverNow() : 0;
  }

  /** @returns {Promise<Token>} one with enough life left to start something with */
  async usable() {
    return this.#isUsable() ? /** @type {Token} */ (this.current) : this.renew(this.current);
  }

  /**
   * @param {Token|null} replacing the token that will not do any more; any other usable one will
   * @returns {Promise<Token>}
   */
  async renew(replacing) {
    if (this.current !== replacing && this.#isUsable()) return /** @type {Token} */ (this.current);
    this.#renewing ??= this.#lock.run(() => this.#refresh(replacing)).finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  /** The server found this token stale, whatever the clocks say. @param {Token|null} token */
  distrust(token) {
    if (token !== null && this.current === token) this.current = { ...token, expiresAt: 0 };
  }

  /** @param {Grant & {session?: {sessionId: string}}} grant what a login answered */
  async begin(grant) {
    this.#epoch++;
    await this.#take(grant, "login");
    this.#channel?.post({ type: "login" });
  }

  /** Forgets everything here and now. @param {{tellSiblings: boolean}} options */
  async forget({ tellSiblings }) {
    this.#epoch++;
    this.current = null;
    await this.#storage?.clear();
    if (tellSiblings) this.#channel?.post({ type: "logout" });
  }

  /** The refresh token for a request body, where this client is the one that holds it. */
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
    // At once, before the storage has answered: a socket that is live by this token may go on already.
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
  #hear(message) {
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
