/**
 * A login that waits for its second factor. It uses a socket of its own, which receives another device's approval at
 * once; with delivery "body" the login is completed there too, and the socket becomes the live one. HTTP is used for
 * everything else, and where sockets are blocked.
 */
import { VigilError, asVigilError } from "./vigil-errors.js";
import { acknowledged } from "./vigil-events.js";
import { retryDelay, sleep } from "./vigil-reconnect.js";

/**
 * `mfaToken` is a secret. Without `expiresAt`, the deadline comes from the socket.
 * @typedef {{mfaToken: string, expiresAt?: string|null}} MfaToken
 *
 * @typedef {{number: number, expiresAt: string, status: ApprovalStatus}} Approval
 * @typedef {{status: ApprovalStatus, retryAfterMs?: number}} ApprovalResult after a denial, `retryAfterMs` says for how
 *   long no approval can be requested
 * @typedef {"pending"|"approved"|"denied"|"expired"} ApprovalStatus
 *
 * @typedef {object} WaitingListener
 * @property {(deadline: number) => void} [onDeadline] called with the deadline, by the server's clock in milliseconds
 * @property {(code: string) => void} [onOver] called with `timeout`, `too_many_tries` or `invalid_token`
 */

const ANSWER_TIMEOUT_MS = 10_000;
/** Must be longer than the server holds a poll. */
const STATUS_TIMEOUT_MS = 30_000;
/** Pause between polls: a node that is shutting down answers at once. */
const POLL_PAUSE_MS = 1_000;
/** Limit of the back-off exponent: the delay must stay short compared to the login's lifetime. */
const MAX_BACKOFF_EXPONENT = 4;

export class WaitingLogin {
  #api;
  #tokens;
  #socket;
  #finish;
  #isForSocket;
  #listener;
  #mfaToken;
  #deadline;
  #isOpen = false;
  #isClosed = false;
  #attempt = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {(result: ApprovalResult|null) => void} called with the approval's result; null: socket lost */
  #onApproval = () => undefined;
  /** @type {(number: number) => void} called with another number to show */
  #onNumber = () => undefined;

  /**
   * @param {object} options
   * @param {import("./vigil-http.js").Api} options.api
   * @param {import("./vigil-tokens.js").TokenKeeper} options.tokens
   * @param {import("./vigil-connection.js").SocketLike} options.socket used by nobody else
   * @param {MfaToken} options.mfa
   * @param {boolean} options.isForSocket whether the socket may complete this login
   * @param {(grant: any, socket: import("./vigil-connection.js").SocketLike|null) => Promise<any>} options.finish
   *   takes over the completed login, and its live socket if there is one
   * @param {WaitingListener} options.listener
   */
  constructor({ api, tokens, socket, mfa, isForSocket, finish, listener }) {
    this.#api = api;
    this.#tokens = tokens;
    this.#socket = socket;
    this.#finish = finish;
    this.#isForSocket = isForSocket;
    this.#listener = listener;
    this.#mfaToken = mfa.mfaToken;
    this.#deadline = mfa.expiresAt ? Date.parse(mfa.expiresAt) : null;
    if (this.#deadline !== null) listener.onDeadline?.(this.#deadline);
    this.#listen();
    this.#open();
  }

  /**
   * @param {import("./vigil-account.js").FactorAnswer} answer
   * @returns {Promise<import("./vigil-client.js").LoggedIn>}
   */
  async finish(answer) {
    if (this.#isForSocket && this.#isOpen) {
      return acknowledged(this.#socket, "mfa-verify", answer, ANSWER_TIMEOUT_MS, (grant) => {
        this.#release();
        return this.#finish(grant, this.#socket);
      });
    }
    const grant = await this.#tokens.whileNoneRefreshes(() => this.#post("/2fa/verify", answer));
    this.close();
    return this.#finish(grant, null);
  }

  /** Options to ask a passkey of this device. @returns {Promise<object>} `PublicKeyCredentialRequestOptionsJSON` */
  async passkeyOptions() {
    return (await this.#ask("mfa-passkey-options", "/webauthn/login/options")).options;
  }

  /**
   * Asks the user's other devices for approval, or returns the request that is open.
   * @param {{canRenumber?: boolean}} [options] `canRenumber`: the caller passes `onNumber` to `result`, so that after a
   *   wrong number the devices can be asked once more, with new numbers
   * @returns {Promise<Approval>}
   */
  askApproval({ canRenumber = false } = {}) {
    return this.#ask("approval-request", "/approvals", canRenumber ? { canRenumber } : {});
  }

  /**
   * Waits for the answer of the other devices.
   * @param {Approval} approval
   * @returns {Promise<ApprovalStatus>} anything but `pending`
   */
  async outcome(approval) {
    return (await this.result(approval)).status;
  }

  /**
   * Like `outcome`, with more about the answer.
   * @param {Approval} approval
   * @param {(number: number) => void} [onNumber] called with another number to show: a wrong one was chosen
   * @returns {Promise<ApprovalResult>}
   */
  async result({ number, status, expiresAt }, onNumber = () => undefined) {
    if (status !== "pending") return { status };
    let shown = number;
    this.#onNumber = (next) => {
      if (next !== shown) onNumber(shown = next);
    };
    // HTTP fetches what the socket may have missed: after a loss, and at the deadline.
    return (this.#isOpen && (await this.#pushed(Date.parse(expiresAt)))) || this.#polled(() => shown);
  }

  /** Stops waiting. Does not end the login. */
  close() {
    this.#release();
    this.#socket.disconnect();
  }

  #listen() {
    const on = (/** @type {string} */ event, /** @type {(payload: any) => void} */ listener) => {
      this.#socket.on(event, listener);
    };
    on("mfa-required", ({ deadlineMs }) => this.#opened(deadlineMs));
    on("mfa-closed", ({ code }) => this.#ended(code));
    on("login-approval-number", ({ number }) => this.#onNumber(number));
    on("login-approval-result", (result) => this.#onApproval(result));
    on("disconnect", () => this.#lost(null));
    on("connect_error", ({ data }) => {
      if (data?.code === "invalid_token") this.#ended(data.code);
      else this.#lost(data?.retryAfterMs ?? null);
    });
  }

  #open() {
    if (this.#deadline !== null && this.#deadline <= this.#api.serverNow()) return this.#ended("timeout");
    // The socket becomes the live one, which keeps its places in rooms.
    this.#socket.auth = { mfaToken: this.#mfaToken, rooms: {} };
    this.#socket.connect();
  }

  /** @param {number} deadlineMs */
  #opened(deadlineMs) {
    this.#isOpen = true;
    this.#attempt = 0;
    // With a known deadline, the shorter deadline of the socket does not count.
    if (this.#deadline === null) this.#listener.onDeadline?.(this.#api.serverNow() + deadlineMs);
  }

  /** @param {string} code */
  #ended(code) {
    const goesOn = code === "timeout" && this.#deadline !== null && this.#deadline > this.#api.serverNow();
    if (goesOn || this.#isClosed) return;
    this.close();
    this.#listener.onOver?.(code);
  }

  /** @param {number|null} retryAfterMs */
  #lost(retryAfterMs) {
    if (this.#isClosed) return;
    this.#isOpen = false;
    this.#onApproval(null);
    clearTimeout(this.#timer);
    const delay = retryDelay(Math.min(this.#attempt++, MAX_BACKOFF_EXPONENT), retryAfterMs);
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  #release() {
    this.#isClosed = true;
    this.#isOpen = false;
    this.#onApproval(null);
    clearTimeout(this.#timer);
    this.#socket.off();
  }

  /**
   * @param {string} event
   * @param {string} path of the same request over HTTP
   * @param {object} [body]
   */
  async #ask(event, path, body = {}) {
    if (!this.#isOpen) return this.#post(path, body);
    try {
      return await acknowledged(this.#socket, event, body, ANSWER_TIMEOUT_MS);
    } catch (error) {
      if (!["disconnected", "timeout"].includes(asVigilError(error).code)) throw error;
      return this.#post(path, body);
    }
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {number} [timeoutMs]
   */
  #post(path, body, timeoutMs) {
    return this.#api.request("POST", path, { body: { ...body, mfaToken: this.#mfaToken }, timeoutMs });
  }

  /** @param {number} expiresAt @returns {Promise<ApprovalResult|null>} null when the socket did not receive it */
  async #pushed(expiresAt) {
    const left = Math.max(expiresAt - this.#api.serverNow(), 0);
    const pushed = new Promise((resolve) => { this.#onApproval = resolve; });
    const result = await Promise.race([pushed, sleep(left).then(() => null)]);
    this.#onApproval = () => undefined;
    return result;
  }

  /** @param {() => number} shown the number that is shown @returns {Promise<ApprovalResult>} */
  async #polled(shown) {
    for (;;) {
      if (this.#isClosed) throw new VigilError({ code: "disconnected", message: "the login was closed" });
      let pause = POLL_PAUSE_MS;
      try {
        const { number, ...result } = await this.#post("/approvals/status", { number: shown() }, STATUS_TIMEOUT_MS);
        if (result.status !== "pending") return result;
        // Servers before 0.3 do not repeat the number.
        if (number !== undefined) this.#onNumber(number);
      } catch (error) {
        const refusal = asVigilError(error);
        if (!refusal.retryable) throw error;
        pause = Math.max(pause, retryDelay(2, refusal.retryAfterMs));
      }
      await sleep(pause);
    }
  }
}
