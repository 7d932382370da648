/**
 * A login that waits for its second factor. It waits on a socket of its own, which hears at once what another
 * device answers; with tokens in the body the login is finished there too, and the socket goes on as the live one.
 * Whatever the socket cannot do, or where it is blocked, HTTP does.
 */
import { acknowledged } from "./vigil-events.js";
import { VigilError, asVigilError, retryDelay } from "./vigil-rules.js";
import { sleep } from "./vigil-tabs.js";

/**
 * `mfaToken` is a secret; without `expiresAt` the socket says how long it waits.
 * @typedef {{mfaToken: string, expiresAt?: string|null}} MfaToken
 *
 * @typedef {{number: number, expiresAt: string, status: ApprovalStatus}} Approval
 * @typedef {"pending"|"approved"|"denied"|"expired"} ApprovalStatus
 *
 * @typedef {object} WaitingListener
 * @property {(deadline: number) => void} [onDeadline] when it is over, by the server's clock in milliseconds
 * @property {(code: string) => void} [onOver] `timeout`, `too_many_tries`, `invalid_token`: log in again
 */

const ANSWER_TIMEOUT_MS = 10_000;
/** The server answers a poll after 20 s at the latest. */
const STATUS_TIMEOUT_MS = 30_000;
/** A node that is about to stop answers a poll at once: without a pause that would be a hundred a second. */
const POLL_PAUSE_MS = 1_000;
/** Where sockets are blocked each try is in vain: the login is over before this costs anybody anything. */
const SLOWEST_RETRY = 4;

export class WaitingLogin {
  #api;
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
  /** @type {(status: ApprovalStatus|null) => void} told what the socket hears of an approval, or that it is gone */
  #onApproval = () => undefined;

  /**
   * @param {object} options
   * @param {import("./vigil-tokens.js").Api} options.api
   * @param {import("./vigil-connection.js").SocketLike} options.socket one that nobody else uses
   * @param {MfaToken} options.mfa
   * @param {boolean} options.isForSocket whether the contract lets the socket finish this login
   * @param {(grant: any, socket: import("./vigil-connection.js").SocketLike|null) => Promise<any>} options.finish
   *   takes over what the login came to, and the socket that is live by it
   * @param {WaitingListener} options.listener
   */
  constructor({ api, socket, mfa, isForSocket, finish, listener }) {
    this.#api = api;
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
        this.#letGo();
        return this.#finish(grant, this.#socket);
      });
    }
    const grant = await this.#post("/2fa/verify", answer);
    this.close();
    return this.#finish(grant, null);
  }

  /** What to ask a passkey of this device. @returns {Promise<object>} `PublicKeyCredentialRequestOptionsJSON` */
  async passkeyOptions() {
    return (await this.#ask("mfa-passkey-options", "/webauthn/login/options")).options;
  }

  /** Asks the user's other devices; while they are asked, says how it stands. @returns {Promise<Approval>} */
  askApproval() {
    return this.#ask("approval-request", "/approvals");
  }

  /**
   * What the other devices answered.
   * @param {Approval} approval
   * @returns {Promise<ApprovalStatus>} anything but `pending`
   */
  async outcome({ status, expiresAt }) {
    if (status !== "pending") return status;
    // What the socket may have missed is asked for over HTTP: after a loss, and when the time is over.
    return (this.#isOpen && (await this.#pushed(Date.parse(expiresAt)))) || this.#polled();
  }

  /** Waits no more; the login itself stays as it is. */
  close() {
    this.#letGo();
    this.#socket.disconnect();
  }

  #listen() {
    const on = (/** @type {string} */ event, /** @type {(payload: any) => void} */ listener) => {
      this.#socket.on(event, listener);
    };
    on("mfa-required", ({ deadlineMs }) => this.#opened(deadlineMs));
    on("mfa-closed", ({ code }) => this.#ended(code));
    on("login-approval-result", ({ status }) => this.#onApproval(status));
    on("disconnect", () => this.#lost(null));
    on("connect_error", ({ data }) => {
      if (data?.code === "invalid_token") this.#ended(data.code);
      else this.#lost(data?.retryAfterMs ?? null);
    });
  }

  #open() {
    if (this.#deadline !== null && this.#deadline <= this.#api.serverNow()) return this.#ended("timeout");
    this.#socket.auth = { mfaToken: this.#mfaToken };
    this.#socket.connect();
  }

  /** @param {number} deadlineMs */
  #opened(deadlineMs) {
    this.#isOpen = true;
    this.#attempt = 0;
    // The socket's own minute is no end for a login that is known to wait longer.
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
    const delay = retryDelay(Math.min(this.#attempt++, SLOWEST_RETRY), retryAfterMs);
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  #letGo() {
    this.#isClosed = true;
    this.#isOpen = false;
    this.#onApproval(null);
    clearTimeout(this.#timer);
    this.#socket.off();
  }

  /**
   * @param {string} event
   * @param {string} path of the same thing over HTTP
   */
  async #ask(event, path) {
    if (!this.#isOpen) return this.#post(path, {});
    try {
      return await acknowledged(this.#socket, event, {}, ANSWER_TIMEOUT_MS);
    } catch (error) {
      if (!["disconnected", "timeout"].includes(asVigilError(error).code)) throw error;
      return this.#post(path, {});
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

  /** @param {number} expiresAt @returns {Promise<ApprovalStatus|null>} null when the socket did not hear of it */
  async #pushed(expiresAt) {
    const left = Math.max(expiresAt - this.#api.serverNow(), 0);
    const heard = new Promise((resolve) => { this.#onApproval = resolve; });
    const status = await Promise.race([heard, sleep(left).then(() => null)]);
    this.#onApproval = () => undefined;
    return status;
  }

  /** @returns {Promise<ApprovalStatus>} */
  async #polled() {
    for (;;) {
      if (this.#isClosed) throw new VigilError({ code: "disconnected", message: "nobody waits any more" });
      let pause = POLL_PAUSE_MS;
      try {
        const { status } = await this.#post("/approvals/status", {}, STATUS_TIMEOUT_MS);
        if (status !== "pending") return status;
      } catch (error) {
        const refusal = asVigilError(error);
        if (!refusal.retryable) throw error;
        pause = Math.max(pause, retryDelay(2, refusal.retryAfterMs));
      }
      await sleep(pause);
    }
  }
}
