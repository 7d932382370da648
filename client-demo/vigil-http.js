/** HTTP client of the API: JSON envelope, errors, CSRF token, timeouts and the server's clock. */
import { VigilError, asVigilError } from "./vigil-errors.js";

/** @typedef {"GET"|"POST"|"PUT"|"PATCH"|"DELETE"} Method */

export class Api {
  #options;
  #clockOffsetMs = 0;
  /** Whether this page has the server's origin, and can read its cookie `csrf`. */
  #isSameOrigin;
  /** @type {string|null} the CSRF token that the server sent last */
  #lastCsrf = null;

  /** @param {{baseUrl: string, credentials: RequestCredentials, csrfCookie: string, timeoutMs: number}} options */
  constructor(options) {
    this.#options = options;
    const here = globalThis.location;
    this.#isSameOrigin = !options.baseUrl || !here || new URL(options.baseUrl, here.href).origin === here.origin;
  }

  /** The server's clock, estimated from its answers: the device's own clock may be hours off. */
  serverNow() {
    return Date.now() + this.#clockOffsetMs;
  }

  /**
   * @param {number} serverTime milliseconds
   * @param {number} [precisionMs] a reading within this of the current estimate is ignored
   */
  observeClock(serverTime, precisionMs = 0) {
    const offset = serverTime - Date.now();
    if (Math.abs(offset - this.#clockOffsetMs) > precisionMs) this.#clockOffsetMs = offset;
  }

  /**
   * True when the browser may have the cookies of a login: on the server's origin by the readable cookie `csrf`, on
   * others by asking the server. True when it cannot be asked.
   */
  async mayHaveCookies() {
    if (this.#isSameOrigin) return this.#csrfCookie() !== null;
    return this.#fetchCsrf().then((token) => token !== null, () => true);
  }

  /** False when this browser did not keep the cookies of the login that was just answered. */
  async keepsCookies() {
    const sent = this.#lastCsrf;
    return this.#isSameOrigin || this.#fetchCsrf().then((token) => token === sent, () => true);
  }

  /**
   * @param {Method} method
   * @param {string} path
   * @param {{body?: object, accessToken?: string|null, timeoutMs?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<any>} the answer's `data`
   */
  async request(method, path, options = {}) {
    const csrf = method === "GET" ? null : this.#csrfToken();
    try {
      return await this.#send(method, path, { ...options, csrf });
    } catch (error) {
      // Another tab has logged in since, or another host of this domain has set a cookie with this name.
      if (!(error instanceof VigilError) || error.code !== "csrf_failed") throw error;
      const current = await this.#fetchCsrf();
      if (current === null || current === csrf) throw error;
      return this.#send(method, path, { ...options, csrf: current });
    }
  }

  /** Fetches the CSRF token for this browser's cookies; null without cookies. @returns {Promise<string|null>} */
  async #fetchCsrf() {
    this.#lastCsrf = (await this.#send("GET", "/csrf", {})).csrfToken;
    return this.#lastCsrf;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: object, accessToken?: string|null, csrf?: string|null, timeoutMs?: number,
   *   signal?: AbortSignal}} options
   * @returns {Promise<any>}
   */
  async #send(method, path, { body, accessToken, csrf, timeoutMs = this.#options.timeoutMs, signal }) {
    const { baseUrl, credentials } = this.#options;
    const headers = {
      Accept: "application/json",
      ...(body && { "Content-Type": "application/json" }),
      ...(accessToken && { Authorization: `Bearer ${accessToken}` }),
      ...(csrf && { "X-CSRF-Token": csrf }),
    };
    const limit = new RequestLimit(timeoutMs, signal);
    try {
      const response = await fetch(`${baseUrl}/api/auth${path}`, {
        method, headers, credentials, cache: "no-store", body: body && JSON.stringify(body), signal: limit.signal,
      });
      // The Date header is cut to whole seconds: half a second more is the best estimate.
      this.observeClock(Date.parse(response.headers.get("Date") ?? "") + 500, 1_000);
      this.#lastCsrf = response.headers.get("X-CSRF-Token") ?? this.#lastCsrf;
      const answer = await response.json().catch(() => null);
      if (response.ok && answer?.success) return answer.data ?? {};
      throw refusal(response, answer);
    } catch (error) {
      throw asVigilError(error);
    } finally {
      limit.lift();
    }
  }

  #csrfToken() {
    return (this.#isSameOrigin ? this.#csrfCookie() : null) ?? this.#lastCsrf;
  }

  #csrfCookie() {
    const prefix = `${this.#options.csrfCookie}=`;
    const found = globalThis.document?.cookie.split("; ").find((pair) => pair.startsWith(prefix));
    return found ? decodeURIComponent(found.slice(prefix.length)) : null;
  }
}

/** Aborts a request after a timeout or by its caller's signal. Combined signals are too new for the oldest browsers. */
class RequestLimit {
  #controller = new AbortController();
  #abort = () => this.#controller.abort();
  #caller;
  #timer;

  /**
   * @param {number} timeoutMs
   * @param {AbortSignal} [caller]
   */
  constructor(timeoutMs, caller) {
    this.#caller = caller;
    this.#timer = setTimeout(this.#abort, timeoutMs);
    if (caller?.aborted) this.#abort();
    caller?.addEventListener("abort", this.#abort);
  }

  get signal() {
    return this.#controller.signal;
  }

  lift() {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.#abort);
  }
}

/**
 * @param {Response} response
 * @param {any} answer null when the body was not JSON; that, or another JSON format, comes from a proxy
 */
function refusal(response, answer) {
  const retryAfter = Number(response.headers.get("Retry-After") ?? NaN);
  const ours = answer?.success === false && typeof answer.code === "string" ? answer : null;
  return new VigilError({
    code: ours?.code ?? (response.status === 429 ? "rate_limited" : "unavailable"),
    message: ours?.message ?? "The server's answer could not be read.",
    status: response.status,
    errors: ours?.errors,
    requestId: ours?.requestId ?? null,
    methods: ours?.methods,
    retryAfterMs: Number.isFinite(retryAfter) ? retryAfter * 1000 : null,
  });
}
