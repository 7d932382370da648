/**
 * Refresh tokens: `rt1.` and base64url of session id (16 bytes), generation (u32), nonce (16) and HMAC-SHA256 tag.
 *
 * The successor of a token is derived from it, so that it can be handed out again without being stored.
 */

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

import { invalidToken } from './errors.js';

const PREFIX = 'rt1.';
const BODY_BYTES = 36;
const TOKEN_LENGTH = PREFIX.length + 91;
const MAX_GENERATION = 0xffffffff;

export const newRefreshToken = () => ({
  sessionId: randomBytes(16).toString('hex'),
  generation: 0,
  nonce: randomBytes(16),
});

export const successor = ({ sessionId, generation, nonce }) => ({ sessionId, generation: generation + 1, nonce });

/** The nonce has 128 random bits, so a fast hash gives nothing away. */
export const hashNonce = (nonce) => createHash('sha256').update(nonce).digest();

export class RefreshTokens {
  #key;

  constructor(key) {
    this.#key = key;
  }

  mint({ sessionId, generation, nonce }) {
    const body = Buffer.allocUnsafe(BODY_BYTES);
    body.write(sessionId, 0, 'hex');
    body.writeUInt32BE(generation, 16);
    nonce.copy(body, 20);
    return PREFIX + Buffer.concat([body, this.#tag(body)]).toString('base64url');
  }

  /** The inverse of `mint`; touches no store. */
  parse(text) {
    if (typeof text !== 'string' || text.length !== TOKEN_LENGTH || !text.startsWith(PREFIX)) throw invalidToken();
    const encoded = text.slice(PREFIX.length);
    const raw = Buffer.from(encoded, 'base64url');
    // One token, one spelling: base64 would otherwise ignore spare bits and foreign characters.
    if (raw.toString('base64url') !== encoded) throw invalidToken();
    const body = raw.subarray(0, BODY_BYTES);
    if (!timingSafeEqual(raw.subarray(BODY_BYTES), this.#tag(body))) throw invalidToken();
    const generation = body.readUInt32BE(16);
    if (generation === MAX_GENERATION) throw invalidToken();
    return { sessionId: body.toString('hex', 0, 16), generation, nonce: body.subarray(20) };
  }

  #tag(body) {
    return createHmac('sha256', this.#key).update(PREFIX).update(body).digest();
  }
}
