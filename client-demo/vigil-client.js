/**
 * Vigil's browser client: logs in, keeps the socket connected, and reports the end of the session immediately.
 *
 * Guarantees:
 * - Tokens are kept in memory and in HttpOnly cookies, never in localStorage or sessionStorage.
 * - One tab refreshes; the others use its token.
 * - An expiring token is replaced on the open socket: same socket id, same rooms, same order.
 * - An unreachable server is not a logout. `ended` is final and has the reason.
 * - `user` reflects this client's own changes and role changes, and is fetched again after a gap in the events.
 * - An event with an `eventId` is dispatched once, even when it is replayed after a reconnect.
 *
 * Requires socket.io-client 4, passed as `io` or present in `./vendor/`.
 */
import { Account } from "./vigil-account.js";
import { Connection } from "./vigil-connection.js";
import { NO_DEVICES, applySessionsEvent, watchDevices } from "./vigil-devices.js";
import { VigilError, asVigilError } from "./vigil-errors.js";
import { Emitter } from "./vigil-events.js";
import { Api } from "./vigil-http.js";
import { afterRefreshRefusal } from "./vigil-reconnect.js";
import { WaitingLogin } from "./vigil-second-factor.js";
import { TokenKeeper } from "./vigil-tokens.js";

export { NO_DEVICES, VigilError, applySessionsEvent, asVigilError, watchDevices };

/**
 * @typedef {import("./vigil-types.js").Session} Session
 * @typedef {import("./vigil-types.js").Delivery} Delivery
 * @typedef {import("./vigil-connection.js").End} End
 * @typedef {import("./vigil-connection.js").Ready} Ready
 * @typedef {import("./vigil-tokens.js").TokenSource} TokenSource
 *
 * @typedef {import("./vigil-account.js").User} User
 * @typedef {import("./vigil-account.js").FactorAnswer} FactorAnswer
 *
 * `restoring`: looking for an existing session. `logged-out`: there is none; `code` says why, if one was refused.
 * `ended`: a live session has ended. The others are those of the connection.
 * @typedef {"idle"|"restoring"|"logged-out"|"connecting"|"live"|"expired"|"waiting"|"ended"} ClientState
 * @typedef {{state: ClientState, socketId: string|null, retryAt: number|null, code: string|null}} StateChange
 *
 * @typedef {object} VigilEvents what `on` can listen to, besides the application's own events
 * @property {StateChange} state
 * @property {{expiresAt: number, lifetimeMs: number, source: TokenSource}} token a new access token is in use
 * @property {{count: number, socketId: string}} reauthenticated the open socket got a new token
 * @property {End} ended the session has ended: ask to log in
 * @property {User} user the user, after each change
 * @property {Ready} ready
 * @property {{expiresAt: string, expiresInMs: number, graceMs: number}} token-expiring
 * @property {{graceEndsAt: string}} token-expired
 * @property {{reconnectAfterMs: number}} draining
 * @property {{reason: string, retryable: boolean}} closing by the backend; if not `retryable`, the client connects again
 *   by `reconnect` only
 * @property {{eventId: number, version: number, change: "created"|"updated"|"removed",
 *   session: Session}} sessions-changed
 * @property {{eventId: number, sessionId: string, online: boolean, sockets: number,
 *   lastSeenAt: string}} device-status
 * @property {{eventId: number, kind: string, session: Session, at: string, approvedBy?: string}} security-alert
 *   not sent to the session that approved the login
 * @property {{eventId: number, approvalId: string, device: import("./vigil-types.js").Device,
 *   location: Session["location"], ip: string, numbers: number[],
 *   expiresAt: string, afterWrongNumber?: true}} login-approval-requested a new device waits for this one's approval
 * @property {{eventId: number, approvalId: string, status: "approved"|"denied",
 *   tryAgain?: true}} login-approval-closed `tryAgain`: a request with new numbers follows
 * @property {{eventId: number, roles: string[]}} roles-changed
 *
 * @typedef {object} VigilOptions
 * @property {string} [baseUrl] where Vigil is, without a trailing slash; by default this page's own origin
 * @property {"cookie"|"cookies"|"body"} [delivery] how tokens are delivered; "cookie" by default
 * @property {import("./vigil-tokens.js").RefreshTokenStorage} [storage] needed for delivery "body"
 * @property {import("./vigil-connection.js").Io} [io] socket.io-client's `io`; by default the vendored one
 * @property {object} [socketOptions] more options for `io`, such as `path` or `transports`
 * @property {string|null} [tabs] name shared by tabs that share a login; null: do not share
 * @property {string} [csrfCookie]
 * @property {number} [timeoutMs] for one HTTP request
 * @property {(refusal: VigilError, what: string) => Promise<boolean>} [onStepUp] called when the server
 *   requires a step-up (`refusal.methods` says with what) for `what`, the event or the method and path: asks the user,
 *   calls `stepUp` and resolves with true; the request is then sent again
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
  /** @type {Account} password, factors, passkeys, linked providers, phone, data */
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
  /** True until the server has accepted this session in this tab. */
  #restoring = false;
  /** True while this tab itself ends the session: then `session-revoked` is expected. */
  #leaving = false;
  /** True from a login's answer until `ready`: its user need not be fetched again. */
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

  // ── listening ───────────────────────────────────────────────────────────────────────────────────

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

  /** Remaining life and lifetime of the access token, for display. */
  tokenLife() {
    const { current } = this.#tokens;
    return { remainingMs: Math.max(this.#tokens.remainingMs(), 0), lifetimeMs: current?.lifetimeMs ?? 0 };
  }

  /** The server's clock, to compare its times with. */
  serverNow() {
    return this.#api.serverNow();
  }

  // ── login ───────────────────────────────────────────────────────────────────────────────────────

  /** Looks for an existing session and connects with it. The event `state` reports progress. */
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
   * The second step of a login that answered `mfaRequired`. Waits on a socket if possible, to know the deadline and to
   * receive the approval of other devices. Call `close` when the login is given up.
   * @param {import("./vigil-second-factor.js").MfaToken} mfa the login's answer
   * @param {import("./vigil-second-factor.js").WaitingListener} [listener]
   * @returns {Promise<WaitingLogin>}
   */
  async waitForFactor(mfa, listener = {}) {
    const io = await this.#prepare();
    return new WaitingLogin({
      api: this.#api,
      tokens: this.#tokens,
      socket: this.#newSocket(io),
      mfa,
      isForSocket: this.#options.delivery === "body",
      finish: (grant, socket) => this.#adopt(grant, socket),
      listener,
    });
  }

  /**
   * Options for `navigator.credentials.get`.
   * @param {string} [mfaToken] of a login that waits for a second factor; left out, the passkey itself logs in
   * @returns {Promise<object>} `PublicKeyCredentialRequestOptionsJSON`
   */
  async passkeyLoginOptions(mfaToken) {
    const body = mfaToken ? { mfaToken } : {};
    return (await this.#api.request("POST", "/webauthn/login/options", { body })).options;
  }

  /**
   * @param {object} credential the passkey's answer, as JSON
   * @param {{deviceName?: string}} [options]
   * @returns {Promise<LoggedIn|MfaRequired>}
   */
  async loginWithPasskey(credential, options = {}) {
    return this.#logIn("/webauthn/login/verify", { credential, ...options });
  }

  /**
   * @param {{phoneNumber: string, otp: string, requestId?: string, deviceName?: string}} answer with the code
   *   sent by `account.sendLoginCode`
   * @returns {Promise<LoggedIn|MfaRequired>}
   */
  async loginWithPhone(answer) {
    return this.#logIn("/phone/verify-otp", answer);
  }

  /**
   * Calls an endpoint that needs no login.
   * @param {import("./vigil-http.js").Method} method
   * @param {string} path below `/api/auth`
   * @param {object} [body]
   * @param {{timeoutMs?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<any>}
   */
  ask(method, path, body, options = {}) {
    return this.#api.request(method, path, { body, ...options });
  }

  // ── while logged in ─────────────────────────────────────────────────────────────────────────────

  /**
   * Sends an application event and resolves with its acknowledgement. Waits for the connection if it is lost; rejects
   * when the acknowledgement has not come after `timeoutMs`.
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
   * Calls any endpoint as this user, renewing an expired token first. When the server requires a step-up, calls
   * `onStepUp` and sends the request again; without `onStepUp`, or if it resolves with false, this rejects with
   * `step_up_required` and its `methods`.
   * @param {import("./vigil-http.js").Method} method
   * @param {string} path below `/api/auth`
   * @param {object} [body]
   * @returns {Promise<any>} the answer's `data`
   */
  call(method, path, body) {
    return this.account.call(method, path, body);
  }

  /**
   * Step-up: proves the user's identity again. Allows sensitive changes until `assuredUntil`.
   * @param {FactorAnswer} answer
   * @returns {Promise<{assuredUntil: string}>}
   */
  stepUp(answer) {
    return this.account.authorised("POST", "/step-up", answer);
  }

  /** @returns {Promise<User>} fetched again */
  async me() {
    const known = this.user;
    const { user } = await this.account.authorised("GET", "/me");
    // A user set meanwhile is newer, or a different one.
    return this.user === known ? this.#know(user) : this.me();
  }

  /** @returns {Promise<{sessions: Session[], version: number}>} */
  sessions() {
    return this.#ask("sessions-list", {}, "GET", "/sessions");
  }

  /**
   * Logs another device out, or this one.
   * @param {string} sessionId
   * @returns {Promise<Delivery|null>} result for its live connections; null for this device
   */
  async revoke(sessionId) {
    if (sessionId === this.sessionId) return this.logout().then(() => null);
    const path = `/sessions/${encodeURIComponent(sessionId)}`;
    return (await this.#ask("session-revoke", { sessionId }, "DELETE", path)).delivery;
  }

  /**
   * Renames a device of this user. An empty name restores the one that the server derives.
   * @param {string} sessionId
   * @param {string} deviceName
   * @returns {Promise<Session>}
   */
  async renameDevice(sessionId, deviceName) {
    return (await this.call("PATCH", `/sessions/${encodeURIComponent(sessionId)}`, { deviceName })).session;
  }

  /** @returns {Promise<{revoked: number, delivery: Delivery}>} */
  revokeOthers() {
    return this.#ask("sessions-revoke-others", {}, "POST", "/sessions/revoke-others");
  }

  /** Ends this session. Rejects when the server cannot be reached: then the session has not ended. */
  async logout() {
    await this.#leave("/logout", await this.#tokens.refreshTokenBody());
  }

  /**
   * Ends all sessions of this user, including this one.
   * @returns {Promise<{revoked: number, delivery: Delivery}|null>} null when this session had already ended
   */
  logoutAll() {
    return this.#leave("/logout-all", {});
  }

  /** Connects now, while `state` is "waiting": the user asks for it. Needed after `closing` that is not `retryable`. */
  reconnect() {
    this.#connection?.reconnect();
  }

  /** Disconnects and releases everything. The session continues. */
  close() {
    this.#unhook.abort();
    this.#connection?.stop();
    this.#tokens.close();
  }

  // ── internal ────────────────────────────────────────────────────────────────────────────────────

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

  /** A socket without automatic connection or reconnection. @param {import("./vigil-connection.js").Io} io */
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
    if (!(await this.#tokens.canRestore())) return this.#become({ state: "logged-out" });
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

  /** @param {import("./vigil-connection.js").ConnectionStatus} status */
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
        if (afterRefreshRefusal(error) === "end" || this.#connection?.isStopped) return null;
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
   * Uses the socket while it is live, so that the answer is in order with the pushed events.
   * @param {string} event
   * @param {object} payload
   * @param {"GET"|"POST"|"DELETE"} method
   * @param {string} path
   */
  #ask(event, payload, method, path) {
    return this.#connection?.isLive ? this.emit(event, payload) : this.account.authorised(method, path);
  }

  /**
   * @param {string} path of a login endpoint
   * @param {object} credentials
   * @returns {Promise<LoggedIn|MfaRequired>}
   */
  async #logIn(path, credentials) {
    await this.#prepare();
    const { delivery } = this.#options;
    const answer = await this.#tokens.whileNoneRefreshes(() =>
      this.#api.request("POST", path, { body: { ...credentials, delivery } }));
    return answer.mfaRequired ? answer : this.#adopt(answer);
  }

  /**
   * Takes over a completed login: token, user and session.
   * @param {any} answer of a completed login
   * @param {import("./vigil-connection.js").SocketLike|null} [socket] that is live with it, before `ready`
   * @returns {Promise<LoggedIn>}
   */
  async #adopt(answer, socket = null) {
    if (!socket) await this.#tokens.checkCookiesKept(answer);
    this.#connection?.stop();
    this.#know(answer.user);
    this.#isUserNew = true;
    this.sessionId = answer.session.sessionId;
    this.#restoring = false;
    const begun = this.#tokens.begin(answer);
    // Before any await: `ready` must find its listener.
    if (socket) this.#connection?.adopt(socket);
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
