// Verifies Vigil's access tokens in a service, and refuses revoked sessions within a second.

import { AsyncResource } from "node:async_hooks";

import { VerificationError } from "./errors.js";
import { textOf } from "./http.js";
import { KeySet } from "./keys.js";
import { Revocations } from "./revocations.js";
import { headerIn, verifyToken } from "./tokens.js";

export { VerificationError };

// Keys that could not be read again for this long are not trusted any more: one may have been withdrawn.
const KEYS_STALE_MS = 3_600_000;
// How long a first request waits for the revocations.
const START_MS = 5000;
const REQUEST_MS = 5000;
const WATCH_MS = 1000;
const KEYS_RETRY_MS = 5000;

// What follows Vigil belongs to no request, whichever one starts it: Next.js caches what a request fetches, and would
// go on trusting a key that was withdrawn.
const outside = new AsyncResource("vigil-verify");

/** Verifies access tokens without a call for each. See index.d.ts. */
export class Verifier {
  #options;
  #keys;
  #revocations = null;
  #timer = null;
  #wasCurrent = null;
  #keysTriedAt = -Infinity;
  #startedAt = 0;
  #hasWarned = false;

  constructor(options) {
    const {
      issuer, serverKey, audience = "vigil", leewaySeconds = 5, staleAfterSeconds = 15, whenStale = "refuse", onHealth,
      logger = console,
    } = options;
    if (!issuer) throw new TypeError("issuer is required");
    if (!["refuse", "accept"].includes(whenStale)) throw new TypeError('whenStale must be "refuse" or "accept"');
    const urls = (options.urls?.length ? options.urls : [issuer]).map((url) => url.replace(/\/+$/, ""));
    this.#options = { issuer, serverKey, audience, urls, leewaySeconds, staleAfterSeconds, whenStale, onHealth, logger };
  }

  /** Begin to follow keys and revocations. Verifying does it, too. */
  start() {
    if (this.#timer === null) outside.runInAsyncScope(() => this.#follow());
    return this;
  }

  #follow() {
    const { urls, serverKey, logger } = this.#options;
    const warn = (text) => logger.warn(`vigil-verify: ${text}`);
    this.#keys = new KeySet(() => outside.runInAsyncScope(() => this.#fetchKeys()), warn);
    this.#startedAt = performance.now();
    this.#wasCurrent = null;
    this.#keysTriedAt = -Infinity;
    if (serverKey) {
      this.#revocations = new Revocations(urls, serverKey, { changed: () => this.#report(), warn });
      this.#revocations.run();
    }
    this.#timer = setInterval(() => this.#watch(), WATCH_MS);
    this.#timer.unref();
    this.#watch();
  }

  /** Stop following. */
  close() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#revocations?.close();
    this.#revocations = null;
  }

  /** Resolve to the claims of an access token, or reject with a `VerificationError`. */
  async verify(token) {
    this.start();
    const header = headerIn(token);
    if (this.#keys.mayBeRead || this.#keys.mayFind(header)) await this.#keys.read();
    const revocations = this.#revocations;
    if (revocations && this.#refuses && !revocations.isCaughtUp) {
      const left = this.#startedAt + START_MS - performance.now();
      if (left > 0) await Promise.race([revocations.caughtUp, pause(left)]);
    }
    if (this.#keys.byHeader.size === 0) throw new VerificationError("unavailable");
    const claims = this.#claimsOf(token);
    if (this.#revocations?.has(claims.sessionId)) throw new VerificationError("session_revoked");
    const { isCurrent } = this.health;
    if (isCurrent !== this.#wasCurrent) this.#report();
    if (this.#refuses && !isCurrent) throw new VerificationError("unavailable");
    return claims;
  }

  /** Like `verify`, for an `Authorization` header. */
  async verifyHeader(authorization) {
    const [, scheme, token] = /^(\S+) ?(.*)$/s.exec(authorization ?? "") ?? [];
    if (scheme?.toLowerCase() !== "bearer") throw new VerificationError("missing_token");
    return this.verify(token);
  }

  /** How current this verifier is. */
  get health() {
    this.start();
    const now = performance.now();
    const silent = this.#revocations === null ? null : (now - this.#revocations.provedAt) / 1000;
    const isHeard = silent === null || silent < this.#options.staleAfterSeconds;
    return {
      isCurrent: isHeard && now - this.#keys.readAt <= KEYS_STALE_MS,
      silentSeconds: silent,
      revoked: this.#revocations?.size ?? 0,
      keys: this.#keys.byHeader.size,
      lastError: this.#revocations?.lastError ?? null,
    };
  }

  #claimsOf(token) {
    const { issuer, audience, leewaySeconds: leeway, logger } = this.#options;
    try {
      return verifyToken(token, this.#keys.byHeader, { issuer, audience, now: Date.now() / 1000, leeway });
    } catch (error) {
      // Probably the settings of this verifier: it then refuses every token, and responses do not say why.
      if (error.cause && !this.#hasWarned) logger.warn(`vigil-verify: ${error.cause}`);
      this.#hasWarned ||= Boolean(error.cause);
      throw error;
    }
  }

  get #refuses() {
    return this.#options.whenStale === "refuse";
  }

  async #fetchKeys() {
    let failure;
    for (const url of this.#options.urls) {
      try {
        const signal = AbortSignal.timeout(REQUEST_MS);
        const response = await fetch(`${url}/.well-known/jwks.json`, { redirect: "error", signal });
        if (response.status !== 200) throw new Error(`Vigil answered ${response.status}`);
        return JSON.parse(await textOf(response, signal));
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Read the keys again in time, and notice when the stream has been silent for too long. */
  #watch() {
    if (!this.#keys.areFresh && performance.now() - this.#keysTriedAt > KEYS_RETRY_MS) {
      this.#keysTriedAt = performance.now();
      this.#keys.read();
    }
    this.#report();
  }

  /** Tell if the verifier has become current, or has ceased to be. */
  #report() {
    if (this.#timer === null) return;
    const health = this.health;
    if (health.isCurrent === this.#wasCurrent) return;
    const isFirst = this.#wasCurrent === null;
    this.#wasCurrent = health.isCurrent;
    const { logger, onHealth } = this.#options;
    if (health.isCurrent) {
      logger.info?.(`vigil-verify is current: ${health.revoked} revoked sessions, ${health.keys} keys`);
    } else if (!isFirst) {
      const then = this.#refuses ? "Tokens are refused." : "Sessions that were revoked since are ACCEPTED.";
      logger.error(`vigil-verify is not current: ${health.lastError ?? "no sign of life"}. ${then}`);
    }
    try {
      onHealth?.(health);
    } catch (error) {
      // The service's own code must not end what follows Vigil, nor the process.
      logger.error(`vigil-verify: onHealth failed: ${error?.stack ?? error}`);
    }
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
