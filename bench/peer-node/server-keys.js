/** Keys of backends, `vsk_<id>_<secret>`. The secret is random, so a plain hash of it is stored. */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

import { forbidden, invalidToken } from './errors.js';

const PLAIN = /^vsk_([0-9a-f]{16})_([0-9a-f]{64})$/;
// How long a key is used without being read again: a revocation holds after that.
const CACHED_MS = 10_000;

const hash = (secret) => createHash('sha256').update(secret).digest();

export class ServerKeys {
  #store;
  // Only keys that exist, which administrators create: their number is bounded.
  #known = new Map();

  constructor(store) {
    this.#store = store;
  }

  /** Create a key; its text, which is not stored. */
  async issue(name, scopes) {
    const id = randomBytes(8).toString('hex');
    const secret = randomBytes(32).toString('hex');
    await this.#store.add({ _id: id, name, scopes, secretHash: hash(secret), createdAt: new Date(), revokedAt: null });
    return `vsk_${id}_${secret}`;
  }

  /** The key of a request, if it is valid and has the scope. */
  async authenticate(text, scope) {
    const match = PLAIN.exec(text);
    if (match === null) throw invalidToken();
    const key = await this.#find(match[1]);
    if (!key || key.revokedAt || !timingSafeEqual(hash(match[2]), key.secretHash)) throw invalidToken();
    if (!key.scopes.includes(scope)) throw forbidden();
    return key;
  }

  /** Requests at the same time wait for one read. */
  #find(id) {
    const known = this.#known.get(id);
    if (known && Date.now() - known.at < CACHED_MS) return known.reading;
    const reading = this.#store.byId(id);
    this.#known.set(id, { at: Date.now(), reading });
    const forget = () => this.#known.delete(id);
    reading.then((key) => key ?? forget(), forget);
    return reading;
  }
}
