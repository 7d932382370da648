/**
 * Access tokens: JWTs signed with EdDSA (Ed25519), header `typ: at+jwt`.
 *
 * `jsonwebtoken` knows no EdDSA. `jose` checks signatures on libuv's threads; under load a request costs no more CPU
 * in all than with a library that checks them on the event loop, and keeps that free (README.md).
 */

import { randomBytes } from 'node:crypto';
import { SignJWT, jwtVerify, errors } from 'jose';

import { invalidToken, missingToken, tokenExpired } from './errors.js';

const TYP = 'at+jwt';
const LEEWAY_SECONDS = 5;
// Ours are some 500 bytes. A longer one is refused before anything is decoded.
const MAX_LENGTH = 4096;

export class AccessTokens {
  #privateKey;
  #publicKey;
  #header;
  #issuer;
  #audience;
  #lifetime;
  #options;

  /** `keys` are key objects: `jose` imports each once and remembers what it made of it. */
  constructor({ privateKey, publicKey, kid }, { issuer, audience, tokenSeconds }) {
    this.#privateKey = privateKey;
    this.#publicKey = publicKey;
    this.#header = { alg: 'EdDSA', typ: TYP, kid };
    this.#issuer = issuer;
    this.#audience = audience;
    this.#lifetime = tokenSeconds;
    this.#options = { issuer, audience, algorithms: ['EdDSA'], typ: TYP, clockTolerance: LEEWAY_SECONDS };
  }

  /** A token of the session's generation; it never outlives the session. */
  async mint(session, { seconds = this.#lifetime, now = Date.now() } = {}) {
    const iat = Math.floor(now / 1000);
    const exp = Math.min(iat + seconds, Math.floor(session.expiresAt.getTime() / 1000));
    const claims = {
      iss: this.#issuer,
      aud: this.#audience,
      sub: session.userId,
      sid: session._id,
      gen: session.generation,
      roles: session.roles,
      amr: session.amr,
      auth_time: Math.floor(session.loggedInAt.getTime() / 1000),
      iat,
      exp,
      jti: randomBytes(12).toString('base64url'),
    };
    const token = await new SignJWT(claims).setProtectedHeader(this.#header).sign(this.#privateKey);
    return { token, issuedAt: iat * 1000, expiresAt: exp * 1000 };
  }

  /** Who the token speaks for. Touches no store. */
  async verify(token) {
    if (typeof token !== 'string' || token === '') throw missingToken();
    if (token.length > MAX_LENGTH) throw invalidToken();
    const { sub, sid, gen, iat, exp } = await this.#claims(token);
    if (typeof sub !== 'string' || typeof sid !== 'string') throw invalidToken();
    if (!Number.isSafeInteger(gen) || !Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) throw invalidToken();
    return { userId: sub, sessionId: sid, generation: gen, issuedAt: iat * 1000, expiresAt: exp * 1000 };
  }

  async #claims(token) {
    try {
      return (await jwtVerify(token, this.#publicKey, this.#options)).payload;
    } catch (error) {
      throw error instanceof errors.JWTExpired ? tokenExpired() : invalidToken();
    }
  }
}
