/**
 * Vigil's browser client: log in once, stay connected, know at once when the login ends.
 *
 * Guarantees to the page that uses it:
 * - Tokens are in memory and HttpOnly cookies, never in localStorage or sessionStorage.
 * - However many tabs are open, one of them refreshes; the others take over its token.
 * - A running-out token is replaced on the living socket: same socket id, same rooms, same order.
 * - Being unable to reach the server is not being logged out. `ended` is final, and says why.
 * - `user` is what this client last heard of the account: from its own changes, its roles, and anew after a gap.
 * - An event with an `eventId` is handed out once, also when it is replayed after a reconnect.
 *
 * It needs socket.io-client 4, passed in as `io` or found in `./vendor/`.
 */
import { Account } from "./vigil-account.js";
import { Connection } from "./vigil-connection.js";
import { NO_DEVICES, applySessionsEvent, watchDevices } from "./vigil-devices.js";
import { Emitter } from "./vigil-events.js";
import { VigilError, asVigilError } from "./vigil-rules.js";
import { Api, TokenKeeper } from "./vigil-tokens.js";
import { WaitingLogin } from "./vigil-waiting.js";

export { NO_DEVICES, VigilError, applySessionsEvent, asVigilError, watchDevices };

/**
 * @typedef {import("./vigil-rules.js").Session} Session
 * @typedef {import("./vigil-rules.js").Delivery} Delivery
 * @typedef {import("./vigil-connection.js").End} End
 * @typedef {import("./vigil-connection.js").Ready} Ready
 * @typedef {import("./vigil-tokens.js").TokenSource} TokenSource
 *
 * @typedef {import("./vigil-account.js").User} User
 * @typedef {import("./vigil-account.js").FactorAnswer} FactorAnswer
 *
 * `restoring`: looking for a login from before. `logged-out`: there is none; `code` says why, when one was
 * refused. The others are those of the connection; `ended` is a login that was live and is over.
 * @typedef {"idle"|"restoring"|"logged-out"|"connecting"|"live"|"expired"|"waiting"|"ended"} ClientState
 * @typedef {{state: ClientState, socketId: string|null, retryAt: number|null, code: string|null}} StateChange
 *
 * @typedef {object} VigilEvents what `on` can listen to, besides the application's own events
 * @property {StateChange} state
 * @property {{expiresAt: number, lifetimeMs: number, source: TokenSource}} token a new access token is in use
 * @property {{count: number, socketId: string}} reauthenticated the socket was given a new token in place
 * @property {End} ended this login is over: ask to log in
 * @property {User} user who is logged in, as it is known from now on
 * @property {Ready} ready
 * @property {{expiresAt: string, expiresInMs: number, graceMs: number}} token-expiring
 * @property {{graceEndsAt: string}} token-expired
 * @property {{reconnectAfterMs: number}} draining
 * @property {{eventId: number, version: number, change: "created"|"updated"|"removed",
 *   session: Session}} sessions-changed
 * @property {{eventId: number, sessionId: string, online: boolean, sockets: number,
 *   lastSeenAt: string}} device-status
 * @property {{eventId: number, kind: string, session: Session, at: string}} security-alert
 * @property {{eventId: number, approvalId: string, device: import("./vigil-rules.js").Device,
 *   location: Session["location"], ip: string, numbers: number[],
 *   expiresAt: string}} login-approval-requested a new device waits to be let in by this one
 * @property {{eventId: number, approvalId: string, status: "approved"|"denied"}} login-approval-closed
 * @property {{eventId: number, roles: string[]}} roles-changed
 *
 * @typedef {object} VigilOptions
 * @property {string} [baseUrl] where Vigil is, without a trailing slash; by default this page's own origin
 * @property {"cookie"|"cookies"|"body"} [delivery] how tokens travel; "cookie" unless said otherwise
 * @property {import("./vigil-tokens.js").RefreshTokenStorage} [storage] needed for delivery "body"
 * @property {import("./vigil-connection.js").Io} [io] socket.io-client's `io`; by default the vendored one
 * @property {object} [socketOptions] more options for `io`, such as `path` or `transports`
 * @property {string|null} [tabs] name shared by tabs that share a login; null: do not share
 * @property {string} [csrfCookie]
 * @property {number} [timeoutMs] for one HTTP request
 * @property {(refusal: VigilError, what: string) => Promise<boolean>} [onStepUp] asks the person for the proof that
 *   `refusal` (`step_up_required`, with `methods`) wants, and gives it by `stepUp`; `what` was refused, the event or the
 *   method and path, is then sent once more
 *
 * @typedef {{mfaRequired: true, mfaToken: string, methods: string[], expiresAt: string}} MfaRequired
 * @typedef {{mfaRequired: false, user: User, session: Session}} LoggedIn
 */

const VENDORED_SOCKET_IO = "./vendor/socket.io.esm.min.js";

export class VigilClient {
  /** @type {User|null} */
  user = null;
  /** @type {string|null} */
  sessionId = null;
  /** @type {Account} password, factors, passkeys, logins elsewhere, phone, data */
  account;
  #options;
  #api;
  #tokens;
  #events = new Emitter();
  /** @type {Connection|null} */
  #connection = null;
  /** @type {import("./vigil-connection.js").Io|null} */
  #io = null;
  /** @type {StateChange} */
  #state = { state: "idle", socketId: null, retryAt: null, code: null };
  /** True until the server accepted this login once in this tab. */
  #restoring = false;
  /** True while this tab itself ends the login: being told so is then no news. */
  #leaving = false;
  /** True from a login's answer until `ready`: what it said of the user is as new as can be. */
  #isUserNew = false;
  #unhook = new AbortController();

  /** @param {VigilOptions} [options] */
  constructor(options = {}) {
    const delivery = options.delivery ?? "cookie";
    const baseUrl = options.baseUrl ?? "";
    if (delivery === "body" && !options.storage) throw new TypeError('delivery "body" needs a storage');
    this.#options = { ...options, baseUrl, delivery };
    this.#api = new Api({
      baseUrl,
      credentials: baseUrl ? "include" : "same-origin",
      csrfCookie: options.csrfCookie ?? "csrf",
      timeoutMs: options.timeoutMs ?? 10_000,
    });
    this.#tokens = new TokenKeeper({
      api: this.#api,
      delivery,
      storage: options.storage ?? null,
      name: options.tabs !== undefined ? options.tabs : delivery === "body" ? null : "vigil",
      onToken: (token, source) => this.#onToken(token, source),
      onSibling: (what) => this.#onSibling(what),
    });
    this.account = new Account({
      api: this.#api,
      tokens: this.#tokens,
      onStepUp: options.onStepUp,
      onUser: (user) => this.#know(user),
    });
  }

  // ── listening ─────────────────────────────────────────────────────────────────────────────────

  /**
   * @template {keyof VigilEvents} K
   * @overload
   * @param {K} event
   * @param {(payload: VigilEvents[K]) => void} listener
   * @returns {() => void} stops listening
   */
  /**
   * @overload
   * @param {`${string}:${string}`} event one of the application's own
   * @param {(payload: any) => void} listener
   * @returns {() => void} stops listening
   */
  /**
   * @param {string} event
   * @param {(payload: any) => void} listener
   */
  on(event, listener) {
    return this.#events.on(event, listener);
  }

  get state() {
    return this.#state;
  }

  /** What is left of the access token, for showing it. */
  tokenLife() {
    const { current } = this.#tokens;
    return { remainingMs: Math.max(this.#tokens.remainingMs(), 0), lifetimeMs: current?.lifetimeMs ?? 0 };
  }

  /** The server's clock: what its times are to be compared with. */
  serverNow() {
    return this.#api.serverNow();
  }

  // ── beginning ─────────────────────────────────────────────────────────────────────────────────

  /** Begins to look for a login from before, silently, and to connect with it: `state` says how it goes. */
  async start() {
    await this.#prepare();
    await this.#restore();
  }

  /**
   * @param {{email: string, password: string, deviceName?: string}} credentials
   * @returns {Promise<LoggedIn|MfaRequired>}
   */
  async login(credentials) {
    return this.#logIn("/login", credentials);
  }

  /**
   * The second half of a login that answered `mfaRequired`, whichever way it was begun. It waits on a socket where
   * one can be had: for showing how long, and for asking other devices to let this one in. `close` it when it is
   * given up.
   * @param {import("./vigil-waiting.js").MfaToken} mfa what the login answered
   * @param {import("./vigil-waiting.js").WaitingListener} [listener]
   * @returns {Promise<WaitingLogin>}
   */
  async waitForFactor(mfa, listener = {}) {
    const io = await this.#prepare();
    return new WaitingLogin({
      api: this.#api,
      socket: this.#newSocket(io),
      mfa,
      isForSocket: this.#options.delivery === "body",
      finish: (grant, socket) => this.#adopt(grant, socket),
      listener,
    });
  }

  /**
   * What to ask a passkey of this device: for `navigator.credentials.get`.
   * @param {string} [mfaToken] of the login that waits for it; without one the passkey is the login
   * @returns {Promise<object>} `PublicKeyCredentialRequestOptionsJSON`
   */
  async passkeyLoginOptions(mfaToken) {
    const body = mfaToken ? { mfaToken } : {};
    return (await this.#api.request("POST", "/webauthn/login/options", { body })).options;
  }

  /**
   * @param {object} credential what the passkey answered, as JSON
   * @param {{deviceName?: string}} [options]
   * @returns {Promise<LoggedIn|MfaRequired>}
   */
  async loginWithPasskey(credential, options = {}) {
    return this.#logIn("/webauthn/login/verify", { credential, ...options });
  }

  /**
   * @param {{phoneNumber: string, otp: string, requestId?: string, deviceName?: string}} answer the code of the SMS
   *   that `account.sendLoginCode` had sent
   * @returns {Promise<LoggedIn|MfaRequired>}
   */
  async loginWithPhone(answer) {
    return this.#logIn("/phone/verify-otp", answer);
  }

  /**
   * Asks for something that needs no login: a mailed link's page, the providers, another device's approval.
   * @param {import("./vigil-tokens.js").Method} method
   * @param {string} path below `/api/auth`
   * @param {object} [body]
   * @param {{timeoutMs?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   */
  ask(method, path, body, options = {}) {
    return this.#api.request(method, path, { body, ...options });
  }

  // ── while logged in ───────────────────────────────────────────────────────────────────────────

  /**
   * Sends an application event and resolves with its acknowledgement; waits for the connection when it
   * is away, and rejects when that or the answer takes longer than `timeoutMs`.
   * @param {string} event
   * @param {object} [payload]
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<any>}
   */
  async emit(event, payload = {}, { timeoutMs = 10_000 } = {}) {
    const connection = this.#connection;
    if (!connection) throw new VigilError({ code: "disconnected", message: "not started" });
    return this.account.steppingUp(event, () => connection.request(event, payload, timeoutMs));
  }

  /**
   * Asks the server for something as this user: any endpoint that has no method of its own here. A token that
   * ran out is renewed first. Where the server wants a proof, `onStepUp` is asked, and the request sent once
   * more; without it, or when nobody gave one, this rejects with `step_up_required` and its `methods`.
   * @param {import("./vigil-tokens.js").Method} method
   * @param {string} path below `/api/auth`
   * @param {object} [body]
   * @returns {Promise<any>} the answer's `data`
   */
  call(method, path, body) {
    return this.account.call(method, path, body);
  }

  /**
   * Proves once more that it is this user; good for ten minutes of sensitive acts.
   * @param {FactorAnswer} answer
   * @returns {Promise<{assuredUntil: string}>}
   */
  stepUp(answer) {
    return this.account.authorised("POST", "/step-up", answer);
  }

  /** @returns {Promise<User>} read anew */
  async me() {
    const known = this.user;
    const { user } = await this.account.authorised("GET", "/me");
    // What was told while this was under way is newer, or of somebody else.
    return this.user === known ? this.#know(user) : this.me();
  }

  /** @returns {Promise<{sessions: Session[], version: number}>} */
  sessions() {
    return this.#ask("sessions-list", {}, "GET", "/sessions");
  }

  /**
   * Logs another device out, or this one.
   * @param {string} sessionId
   * @returns {Promise<Delivery|null>} what became of its live connections; null for this device
   */
  async revoke(sessionId) {
    if (sessionId === this.sessionId) return this.logout().then(() => null);
    const path = `/sessions/${encodeURIComponent(sessionId)}`;
    return (await this.#ask("session-revoke", { sessionId }, "DELETE", path)).delivery;
  }

  /** @returns {Promise<{revoked: number, delivery: Delivery}>} */
  revokeOthers() {
    return this.#ask("sessions-revoke-others", {}, "POST", "/sessions/revoke-others");
  }

  /** Ends this login. Rejects when the server cannot be reached: then it has not ended. */
  async logout() {
    await this.#leave("/logout", await this.#tokens.refreshTokenBody());
  }

  /**
   * Ends every login of this user, this one too.
   * @returns {Promise<{revoked: number, delivery: Delivery}|null>} null when this login was already over
   */
  logoutAll() {
    return this.#leave("/logout-all", {});
  }

  /** Disconnects and lets go of everything; the login itself goes on. */
  close() {
    this.#unhook.abort();
    this.#connection?.stop();
    this.#tokens.close();
  }

  // ── within ────────────────────────────────────────────────────────────────────────────────────

  /** @returns {Promise<import("./vigil-connection.js").Io>} */
  async #prepare() {
    this.#io ??= this.#options.io ?? /** @type {import("./vigil-connection.js").Io} */ (
      (await import(VENDORED_SOCKET_IO)).io);
    if (this.#connection) return this.#io;
    this.#connection = new Connection({
      socket: this.#newSocket(this.#io),
      tokens: this.#tokens,
      api: this.#api,
      listener: {
        onStatus: (status) => this.#onStatus(status),
        onEvent: (event, payload) => this.#onServerEvent(event, payload),
        onReauthenticated: (count, socketId) => this.#events.dispatch("reauthenticated", { count, socketId }),
        onEnd: (end) => this.#onEnd(end),
      },
    });
    this.#hookWakeUps();
    return this.#io;
  }

  /** A socket that connects when it is told to, and then only. @param {import("./vigil-connection.js").Io} io */
  #newSocket(io) {
    return io(this.#options.baseUrl || location.origin, {
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      withCredentials: true,
      ...this.#options.socketOptions,
      autoConnect: false,
      forceNew: true,
      reconnection: false,
    });
  }

  #hookWakeUps() {
    const { signal } = this.#unhook;
    const wake = () => {
      if (document.visibilityState === "visible") this.#connection?.wake();
    };
    globalThis.addEventListener("online", wake, { signal });
    globalThis.addEventListener("pageshow", wake, { signal });
    document.addEventListener("visibilitychange", wake, { signal });
  }

  async #restore() {
    this.#restoring = true;
    if (!(await this.#tokens.maySignInSilently())) return this.#become({ state: "logged-out" });
    this.#become({ state: "restoring" });
    this.#connection?.start();
  }

  /**
   * @param {import("./vigil-tokens.js").Token} token
   * @param {TokenSource} source
   */
  #onToken({ expiresAt, lifetimeMs }, source) {
    this.#events.dispatch("token", { expiresAt, lifetimeMs, source });
    this.#connection?.tokenChanged();
  }

  /** A sibling tab logged in or out; its cookies are this tab's cookies. @param {"login"|"logout"} what */
  async #onSibling(what) {
    if (what === "logout") {
      const by = /** @type {const} */ ({ kind: "user", sessionId: this.sessionId });
      this.#connection?.end({ code: "session_revoked", reason: "logout", by, at: null });
      return;
    }
    if (this.#state.state === "idle") return;
    this.#connection?.stop();
    await this.#tokens.forget({ tellSiblings: false });
    this.user = null;
    this.sessionId = null;
    await this.#restore();
  }

  /** @param {import("./vigil-connection.js").LinkStatus} status */
  #onStatus({ state, ...rest }) {
    if (state === "stopped") return;
    this.#become({ ...rest, state: this.#restoring && state === "connecting" ? "restoring" : state });
  }

  /**
   * @param {string} event
   * @param {any} payload
   */
  #onServerEvent(event, payload) {
    if (event === "ready") {
      this.#restoring = false;
      this.sessionId = payload.sessionId;
      if (!this.user || !(payload.recovered || this.#isUserNew)) this.me().catch(() => undefined);
      this.#isUserNew = false;
    }
    if (event === "roles-changed" && this.user) this.#know({ ...this.user, roles: payload.roles });
    this.#events.dispatch(event, payload);
  }

  /** @param {User} user */
  #know(user) {
    this.user = user;
    this.#events.dispatch("user", user);
    return user;
  }

  /** @param {End} end */
  #onEnd(end) {
    if (this.#leaving) return;
    this.#tokens.forget({ tellSiblings: false });
    if (this.#restoring) return this.#become({ state: "logged-out", code: end.code });
    this.#become({ state: "ended", code: end.code });
    this.#events.dispatch("ended", end);
  }

  /**
   * @param {string} path
   * @param {object} body
   */
  async #leave(path, body) {
    this.#leaving = true;
    try {
      const answer = await this.account.authorised("POST", path, body).catch((error) => {
        if (error.status === 401 || this.#connection?.isStopped) return null;
        throw error;
      });
      this.#connection?.stop();
      await this.#tokens.forget({ tellSiblings: true });
      this.user = null;
      this.sessionId = null;
      this.#become({ state: "logged-out" });
      return answer;
    } finally {
      this.#leaving = false;
    }
  }

  /**
   * Over the socket while it is live, so that the answer is in order with the pushed events.
   * @param {string} event
   * @param {object} payload
   * @param {"GET"|"POST"|"DELETE"} method
   * @param {string} path
   */
  #ask(event, payload, method, path) {
    return this.#connection?.isLive ? this.emit(event, payload) : this.account.authorised(method, path);
  }

  /**
   * @param {string} path of a way in
   * @param {object} credentials
   * @returns {Promise<LoggedIn|MfaRequired>}
   */
  async #logIn(path, credentials) {
    await this.#prepare();
    const { delivery } = this.#options;
    const answer = await this.#api.request("POST", path, { body: { ...credentials, delivery } });
    return answer.mfaRequired ? answer : this.#adopt(answer);
  }

  /**
   * From here on this client is who the answer says.
   * @param {any} answer of a login that is whole
   * @param {import("./vigil-connection.js").SocketLike|null} [socket] that is live by it, `ready` still to come
   * @returns {Promise<LoggedIn>}
   */
  async #adopt(answer, socket = null) {
    this.#connection?.stop();
    this.#know(answer.user);
    this.#isUserNew = true;
    this.sessionId = answer.session.sessionId;
    this.#restoring = false;
    const begun = this.#tokens.begin(answer);
    // Before anything is waited for: `ready` must find somebody who hears it.
    if (socket) this.#connection?.goOn(socket);
    await begun;
    if (!socket) this.#connection?.start();
    return { mfaRequired: false, user: answer.user, session: answer.session };
  }

  /** @param {Partial<StateChange>} change */
  #become(change) {
    this.#state = { state: "idle", socketId: null, retryAt: null, code: null, ...change };
    this.#events.dispatch("state", this.#state);
  }
}
