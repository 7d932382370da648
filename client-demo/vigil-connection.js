/**
 * The live socket: connects with a fresh token, renews the token in place, reconnects with back-off after a loss, and
 * stops when the server says that the session has ended.
 *
 * socket.io-client's own reconnection is off: it would reconnect with a stale token, without jitter across a server
 * restart, and cannot tell an ended session from a lost network.
 */
import { VigilError, asVigilError } from "./vigil-errors.js";
import { EventCursor, RoomPlaces, acknowledged } from "./vigil-events.js";
import { afterRefreshRefusal, afterRefusal, retryDelay, sleep } from "./vigil-reconnect.js";

/**
 * @typedef {import("./vigil-tokens.js").Token} Token
 *
 * `connecting`: getting a token and opening the socket. `live`: application events are served.
 * `expired`: the socket is open, but serves only re-authentication. `waiting`: for the next attempt at `retryAt`.
 * @typedef {"stopped"|"connecting"|"live"|"expired"|"waiting"} ConnectionState
 * @typedef {{state: ConnectionState, socketId: string|null, retryAt: number|null, code: string|null}} ConnectionStatus
 *
 * @typedef {object} Ready
 * @property {number} protocol
 * @property {string} userId
 * @property {string} sessionId
 * @property {string} socketId
 * @property {string} accessTokenExpiresAt
 * @property {number} graceMs
 * @property {string} serverTime
 * @property {number|null} lastEventId
 * @property {boolean} recovered
 * @property {Record<string, {historyId: number, proof: string}>} [joined] the rooms that the socket is in
 * @property {string[]} [rooms] to be read anew, because their histories do not reach back
 * @property {boolean} [eventsRecovered] with `rooms`: whether the user's own events are recovered
 *
 * Why the session has ended. `reason` and `by` are known when the server pushed it; `act` is what was done, where the
 * reason does not say it: `two_factor_enabled`, `account_locked` or `factors_removed`.
 * @typedef {{code: string, reason: string|null, by: import("./vigil-types.js").Actor|null, at: string|null,
 *   act?: string|null}} End
 *
 * The part of a socket.io-client Socket that is used here.
 * @typedef {object} SocketLike
 * @property {boolean} connected
 * @property {string|undefined} id
 * @property {any} auth
 * @property {(event: string, listener: (...args: any[]) => void) => unknown} on
 * @property {() => unknown} off
 * @property {(listener: (event: string, ...args: any[]) => void) => unknown} onAny
 * @property {() => unknown} offAny
 * @property {() => unknown} connect
 * @property {() => unknown} disconnect
 * @property {(ms: number) => {emit(event: string, payload: object, onAnswer: AckListener): unknown}} timeout
 *
 * @typedef {(error: Error|null, answer?: any) => void} AckListener
 *
 * @typedef {(url: string, options: object) => SocketLike} Io
 *
 * @typedef {object} Listener
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {(event: string, payload: any) => void} onEvent
 * @property {(count: number, socketId: string) => void} onReauthenticated
 * @property {(end: End) => void} onEnd
 */

/** Covers opening the transport, the handshake and the server's `ready`. */
const CONNECT_TIMEOUT_MS = 15_000;

/** A connection that lived this long resets the back-off. */
const STABLE_AFTER_MS = 10_000;

/** Leaves time to send the acknowledgement of `session-revoked` before disconnecting. */
const ACK_FLUSH_MS = 1_500;

/** Limit of the back-off exponent between renewals: the grace period is short. */
const MAX_RENEWAL_EXPONENT = 3;

export class Connection {
  #tokens;
  #api;
  #listener;
  #socket;
  /** @type {ConnectionState} */
  #state = "stopped";
  /** Incremented by every start and stop: earlier asynchronous work must not act any more. */
  #run = 0;
  #attempt = 0;
  #liveSince = 0;
  /** @type {number|null} */
  #retryAt = null;
  #serverChoseDelay = false;
  /** The backend does not want this client to return by itself. */
  #isDismissed = false;
  /** @type {number|null} */
  #drainDelayMs = null;
  /** @type {Token|null} the token this socket was authenticated with */
  #token = null;
  /** @type {Promise<void>|null} */
  #renewing = null;
  #reauthentications = 0;
  #cursor = new EventCursor();
  #places = new RoomPlaces();
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #renewalTimer;
  /** @type {Set<() => void>} */
  #waiters = new Set();

  /**
   * @param {object} options
   * @param {SocketLike} options.socket without automatic reconnection
   * @param {import("./vigil-tokens.js").TokenKeeper} options.tokens
   * @param {import("./vigil-http.js").Api} options.api
   * @param {Listener} options.listener
   */
  constructor({ socket, tokens, api, listener }) {
    this.#tokens = tokens;
    this.#api = api;
    this.#listener = listener;
    this.#socket = socket;
    this.#listen();
  }

  get isLive() {
    return this.#state === "live";
  }

  get isStopped() {
    return this.#state === "stopped";
  }

  /** @returns {ConnectionStatus} */
  get status() {
    // After `closing` the socket stays open for a moment, but is no longer in use.
    const socketId = this.#state === "waiting" ? null : this.#socket.id ?? null;
    return { state: this.#state, socketId, retryAt: this.#retryAt, code: null };
  }

  start() {
    if (this.#state !== "stopped") return;
    // The socket of an ended login may still be waiting for the server to close it.
    this.#socket.disconnect();
    this.#reset();
    this.#open();
  }

  /** Takes over a socket on which a login was completed: `ready` is its next event. @param {SocketLike} socket */
  adopt(socket) {
    this.stop();
    this.#socket.off();
    this.#socket.offAny();
    this.#socket = socket;
    this.#listen();
    this.#reset();
    this.#token = this.#tokens.current;
    this.#timer = setTimeout(() => this.#giveUpAttempt(), CONNECT_TIMEOUT_MS);
    this.#become("connecting");
  }

  stop() {
    this.#halt();
    this.#socket.disconnect();
  }

  /** Ends the connection because the session has ended, as learnt outside the socket. @param {End} end */
  end(end) {
    this.#end(end);
  }

  /** Called when the network or the user returns: skips the back-off, but not a delay requested by the server. */
  wake() {
    if (this.#isDismissed) return;
    if (this.#state === "waiting" && !this.#serverChoseDelay) this.#open();
    else if (this.#socket.connected && this.#tokens.remainingMs() <= 0) this.renew();
  }

  /** Connects now, because the user asks for it. */
  reconnect() {
    if (this.#state === "waiting") this.#open();
  }

  /**
   * Emits once the connection is live, and resolves with the acknowledgement. An event refused because the token had
   * just expired did not reach the application, so it is sent again after the renewal.
   * @param {string} event
   * @param {object} payload
   * @param {number} timeoutMs
   * @returns {Promise<any>}
   */
  async request(event, payload, timeoutMs) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      await this.#untilLive(deadline - Date.now());
      try {
        return await acknowledged(this.#socket, event, payload, deadline - Date.now());
      } catch (error) {
        if (!(error instanceof VigilError) || error.code !== "token_expired") throw error;
        await this.renew();
      }
    }
  }

  /** Authenticates this socket with a newer token, refreshing if there is none. */
  renew() {
    if (this.#renewing) return this.#renewing;
    const renewing = this.#renewInPlace().finally(() => {
      if (this.#renewing === renewing) this.#renewing = null;
    });
    this.#renewing = renewing;
    return renewing;
  }

  /** Another tab, or a request of this one, got a newer token than this socket uses. */
  tokenChanged() {
    if (this.#socket.connected && this.#tokens.current !== this.#token) this.renew();
  }

  // ── opening ─────────────────────────────────────────────────────────────────────────────────────

  #reset() {
    this.#run++;
    this.#attempt = 0;
    this.#cursor = new EventCursor();
    this.#places = new RoomPlaces();
  }

  async #open() {
    const run = this.#run;
    clearTimeout(this.#timer);
    this.#isDismissed = false;
    this.#become("connecting");
    try {
      this.#token = await this.#tokens.usable();
    } catch (error) {
      if (run === this.#run) this.#refused(asVigilError(error), afterRefreshRefusal);
      return;
    }
    if (run !== this.#run || this.#state !== "connecting") return;
    this.#socket.auth = {
      ...(this.#token.accessToken && { token: this.#token.accessToken }),
      ...(this.#cursor.lastEventId !== null && { lastEventId: this.#cursor.lastEventId }),
      rooms: this.#places.named,
    };
    this.#timer = setTimeout(() => this.#giveUpAttempt(), CONNECT_TIMEOUT_MS);
    this.#socket.connect();
  }

  #giveUpAttempt() {
    this.#socket.disconnect();
    this.#refused(new VigilError({ code: "timeout", message: "the server did not answer in time" }), afterRefusal);
  }

  #listen() {
    this.#socket.on("connect_error", (/** @type {Error & {data?: any}} */ error) => this.#onConnectError(error));
    this.#socket.on("disconnect", () => this.#onDisconnect());
    this.#socket.onAny((event, ...args) => this.#onAny(event, args));
  }

  /** @param {Error & {data?: any}} error */
  #onConnectError({ message, data }) {
    if (this.#state === "stopped") return;
    // A proxy in front of the server can answer here too, in another format.
    const isOurs = typeof data?.code === "string" && typeof data.retryable === "boolean";
    const refusal = isOurs ? new VigilError({ message, ...data }) : new VigilError({ code: "network", message });
    this.#refused(refusal, afterRefusal);
  }

  #onDisconnect() {
    if (this.#state === "stopped" || this.#state === "waiting") return;
    if (Date.now() - this.#liveSince > STABLE_AFTER_MS) this.#attempt = 0;
    this.#refused(new VigilError({ code: "disconnected", retryAfterMs: this.#drainDelayMs }), afterRefusal);
  }

  /**
   * @param {VigilError} error
   * @param {(error: VigilError) => "end"|"refresh"|"retry"} decide
   */
  #refused(error, decide) {
    if (this.#state === "waiting") return;
    const decision = decide(error);
    if (decision === "end") return this.#end({ code: error.code, reason: null, by: null, at: null });
    // A stale token needs no delay, unless a new one was just refused as well.
    if (decision === "refresh") this.#tokens.markExpired(this.#token);
    const delay = decision === "refresh" && this.#attempt === 0 ? 0 : retryDelay(this.#attempt, error.retryAfterMs);
    this.#waitAndRetry(delay, error);
  }

  /**
   * @param {number} delay
   * @param {VigilError} error
   */
  #waitAndRetry(delay, error) {
    this.#clearTimers();
    this.#attempt++;
    this.#drainDelayMs = null;
    this.#serverChoseDelay = error.retryAfterMs !== null;
    this.#retryAt = Date.now() + delay;
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#become("waiting", error.code);
  }

  /** Until `reconnect`. */
  #waitForUser() {
    this.#clearTimers();
    this.#isDismissed = true;
    this.#become("waiting", "closing");
  }

  // ── events ──────────────────────────────────────────────────────────────────────────────────────

  /**
   * @param {string} event
   * @param {any[]} args
   */
  #onAny(event, args) {
    const ack = typeof args[args.length - 1] === "function" ? args.pop() : null;
    const payload = args[0];
    // Acknowledged even when repeated: the device that requested it waits for the acknowledgement.
    if (event === "session-revoked" || event === "closing" || event.includes(":")) ack?.({ ok: true });
    if (this.#state === "stopped" || !this.#cursor.isNew(payload) || !this.#places.isNew(payload)) return;
    this.#react(event, payload);
    this.#listener.onEvent(event, payload);
    if (event === "session-revoked") {
      const { reason, by = null, at, act = null } = payload;
      this.#end({ code: "session_revoked", reason, by, at, act });
    }
    if (event === "closing" && !payload.retryable) this.#waitForUser();
  }

  /**
   * @param {string} event
   * @param {any} payload
   */
  #react(event, payload) {
    if (event === "ready") return this.#onReady(payload);
    if (event === "token-expiring") return void this.renew();
    if (event === "token-expired") {
      this.#become("expired");
      return void this.renew();
    }
    if (event === "room-history") return this.#places.entered(payload);
    if (event === "room-left") return this.#places.left(payload);
    if (event === "draining") this.#drainDelayMs = payload.reconnectAfterMs;
  }

  /** @param {Ready} ready */
  #onReady(ready) {
    clearTimeout(this.#timer);
    this.#api.observeClock(Date.parse(ready.serverTime));
    this.#cursor.connected({ ...ready, recovered: ready.eventsRecovered ?? ready.recovered });
    this.#places.connected(ready);
    this.#reauthentications = 0;
    this.#renewing = null;
    this.#liveSince = Date.now();
    this.#become("live");
    this.#scheduleRenewal();
    this.tokenChanged();
  }

  // ── the token of a live socket ──────────────────────────────────────────────────────────────────

  async #renewInPlace() {
    const { id } = this.#socket;
    let stale = this.#token;
    for (let attempt = 0; id !== undefined && this.#socket.id === id; attempt++) {
      try {
        const token = await this.#tokens.renew(stale);
        if (this.#socket.id === id && token !== this.#token) await this.#reauthenticate(token);
        return;
      } catch (error) {
        const refusal = asVigilError(error);
        if (this.#socket.id !== id) return;
        if (refusal.code === "forbidden" && refusal.status === 0) return this.#reopen();
        const decision = refusal.status === 0 ? afterRefusal(refusal) : afterRefreshRefusal(refusal);
        if (decision === "end") return this.#end({ code: refusal.code, reason: null, by: null, at: null });
        if (decision === "refresh") stale = this.#tokens.current;
        await sleep(retryDelay(Math.min(attempt, MAX_RENEWAL_EXPONENT), refusal.retryAfterMs));
      }
    }
  }

  /** @param {Token} token */
  async #reauthenticate(token) {
    // A token that scripts cannot read is sent only as a cookie of the handshake.
    if (token.accessToken === null) return this.#reopen();
    await acknowledged(this.#socket, "reauthenticate", { token: token.accessToken }, CONNECT_TIMEOUT_MS);
    this.#token = token;
    this.#reauthentications++;
    if (this.#state === "expired") this.#become("live");
    this.#scheduleRenewal();
    this.#listener.onReauthenticated(this.#reauthentications, this.#socket.id ?? "");
  }

  /** Reconnects at once: the socket belongs to another session, or the token travels in a cookie. */
  #reopen() {
    this.#waitAndRetry(0, new VigilError({ code: "disconnected" }));
    this.#socket.disconnect();
  }

  /** Renews before the token expires, in case the server's `token-expiring` is lost. */
  #scheduleRenewal() {
    clearTimeout(this.#renewalTimer);
    const lifetime = this.#token?.lifetimeMs ?? 0;
    const delay = this.#tokens.remainingMs() - Math.min(10_000, lifetime / 10);
    this.#renewalTimer = setTimeout(() => this.renew(), Math.max(delay, 1_000));
  }

  // ── state ───────────────────────────────────────────────────────────────────────────────────────

  /** @param {number} timeoutMs @returns {Promise<void>} */
  #untilLive(timeoutMs) {
    if (this.isLive) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (/** @type {string|null} */ failure = null) => {
        const code = failure ?? (this.isStopped ? "disconnected" : null);
        if (!this.isLive && code === null) return;
        clearTimeout(timer);
        this.#waiters.delete(settle);
        if (this.isLive) resolve();
        else reject(new VigilError({ code: code ?? "disconnected", message: "there is no connection" }));
      };
      const timer = setTimeout(() => settle("timeout"), Math.max(timeoutMs, 0));
      this.#waiters.add(settle);
      settle();
    });
  }

  /**
   * @param {ConnectionState} state
   * @param {string|null} [code]
   */
  #become(state, code = null) {
    this.#state = state;
    if (state !== "waiting") this.#retryAt = null;
    for (const settle of [...this.#waiters]) settle();
    this.#listener.onStatus({ ...this.status, code });
  }

  /** @param {End} end */
  #end(end) {
    if (this.#state === "stopped") return;
    this.#halt();
    // The server must close first, so that it counts this device as closed.
    const run = this.#run;
    setTimeout(() => { if (run === this.#run) this.#socket.disconnect(); }, ACK_FLUSH_MS);
    this.#listener.onEnd(end);
  }

  #halt() {
    this.#run++;
    this.#clearTimers();
    this.#become("stopped");
  }

  #clearTimers() {
    clearTimeout(this.#timer);
    clearTimeout(this.#renewalTimer);
  }
}
