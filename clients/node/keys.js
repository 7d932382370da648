// Vigil's public keys: cached, read again from time to time, and at once for a key that is not known yet.

import { createPublicKey } from "node:crypto";

import { headerOf } from "./tokens.js";

const FRESH_MS = 300_000;
// Tokens with invented key ids must not make the service ask Vigil for each of them.
const UNKNOWN_INTERVAL_MS = 5000;
const EMPTY_INTERVAL_MS = 1000;
const MAX_KEYS = 64;
const KEY_ID = /^[A-Za-z0-9_-]{1,64}$/;
const HEADER = /^\{"alg":"EdDSA","kid":"[A-Za-z0-9_-]{1,64}","typ":"at\+jwt"\}$/;

export class KeySet {
  #fetch;
  #warn;
  #reading = null;
  #triedAt = -Infinity;

  /** `fetch` returns the JWKS document, or throws. */
  constructor(fetch, warn) {
    this.#fetch = fetch;
    this.#warn = warn;
    this.byHeader = new Map();
    this.readAt = -Infinity;
  }

  get areFresh() {
    return performance.now() - this.readAt < FRESH_MS;
  }

  /** Whether reading them again could find the key of this header, and may be done now. */
  mayFind(header) {
    if (this.byHeader.has(header) || performance.now() - this.#triedAt < UNKNOWN_INTERVAL_MS) return false;
    return HEADER.test(Buffer.from(header, "base64url").toString("latin1"));
  }

  /** Whether there are none, and none could be read a moment ago. */
  get mayBeRead() {
    return this.byHeader.size === 0 && (this.#reading !== null || performance.now() - this.#triedAt > EMPTY_INTERVAL_MS);
  }

  /** Read them again; callers at the same time share it. On a failure the old ones stay. Never throws. */
  read() {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readOnce() {
    const begun = performance.now();
    try {
      this.byHeader = keysIn(await this.#fetch());
      this.readAt = begun;
    } catch (error) {
      this.#warn(`Vigil's public keys could not be read: ${error.message}`);
    } finally {
      this.#triedAt = performance.now();
    }
  }
}

function keysIn(document) {
  const listed = Array.isArray(document?.keys) ? document.keys.slice(0, MAX_KEYS) : [];
  const found = new Map();
  for (const { kty, crv, kid, x } of listed.filter(Boolean)) {
    if (kty !== "OKP" || crv !== "Ed25519" || typeof kid !== "string" || !KEY_ID.test(kid)) continue;
    found.set(headerOf(kid), createPublicKey({ key: { kty, crv, x }, format: "jwk" }));
  }
  if (found.size === 0) throw new Error("the document has no key");
  return found;
}
