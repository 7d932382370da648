/** What a user does with sessions: begin one, refresh it, see them, end one. HTTP and the live socket both call it. */

import { randomBytes, timingSafeEqual } from 'node:crypto';

import {
  invalidToken, notFound, refreshReused, sessionExpired, sessionRevoked, unavailable,
} from './errors.js';
import { readDevice } from './devices.js';
import { hashNonce, newRefreshToken, successor } from './refresh-tokens.js';
import { judge } from './rotation.js';
import { sessionView } from './views.js';

const IDLE_LIFE_MS = 7 * 86_400_000;
const WHOLE_LIFE_MS = 30 * 86_400_000;
const EXPIRED_KEPT_MS = 3_600_000;
// A node remembers this many confirmed generations; forgetting one costs a write.
const REMEMBERED = 50_000;
const REFUSALS = {
  session_revoked: sessionRevoked,
  session_expired: sessionExpired,
  forged: invalidToken,
  refresh_reused: refreshReused,
  // The store moved between the update and the read: the client may repeat.
  rotated: unavailable,
};

export class Sessions {
  #stores;
  #accessTokens;
  #refreshTokens;
  #log;
  #live;
  #confirmed = new Map();

  /** `live` pushes what was appended to a user's log to that user's sockets. */
  constructor({ stores, accessTokens, refreshTokens, userLog, live }) {
    this.#stores = stores;
    this.#accessTokens = accessTokens;
    this.#refreshTokens = refreshTokens;
    this.#log = userLog;
    this.#live = live;
  }

  /** Begin a session for a user who has just proved who they are. */
  async start(user, { deviceName, client }) {
    const now = new Date();
    const refreshToken = newRefreshToken();
    const session = newSession(user, refreshToken, client, { deviceName, now });
    await this.#stores.sessions.create(session);
    const [, , access] = await Promise.all([
      this.#announce(user._id, session),
      this.#stores.audit.record('login', {
        userId: user._id, sessionId: session._id, client, details: { amr: 'pwd', delivery: 'body' }, now,
      }),
      this.#accessTokens.mint(session),
    ]);
    return { session, access, refresh: this.#refreshTokens.mint(refreshToken) };
  }

  async #announce(userId, session) {
    const payload = { change: 'created', session: sessionView(session) };
    const published = await this.#log.publish(userId, session._id, 'sessions-changed', payload, { versioned: true });
    this.#live.push(userId, 'sessions-changed', payload, published);
  }

  /** Trade a refresh token for the next pair. A caller that got no answer may repeat the call with the same token. */
  async refresh(text, { client }) {
    const token = this.#refreshTokens.parse(text);
    const session = await this.#stores.sessions.rotate({
      sessionId: token.sessionId,
      generation: token.generation,
      nonceHash: hashNonce(token.nonce),
      ip: client.ip,
      now: new Date(),
      idleMs: IDLE_LIFE_MS,
    });
    return session ? this.#issue(session, token, 'rotated') : this.#refreshAgain(token, client);
  }

  /** The token was not of the current generation when we tried: judge what it was. */
  async #refreshAgain(token, client) {
    const now = new Date();
    const session = await this.#stores.sessions.byId(token.sessionId);
    if (!session) throw sessionExpired();
    const nonceMatches = timingSafeEqual(session.nonceHash, hashNonce(token.nonce));
    const verdict = judge({ generation: token.generation, nonceMatches, session, now });
    if (verdict === 'replayed' || verdict === 'concurrent') return this.#issue(session, token, verdict);
    if (verdict === 'refresh_reused' || verdict === 'forged') await this.#endStolen(session, client, now);
    throw REFUSALS[verdict]();
  }

  /** A token was used twice: one of its two holders is a thief, and we cannot tell which. */
  async #endStolen({ userId, _id }, client, now) {
    const by = { kind: 'system', sessionId: null };
    const [ended] = await Promise.all([
      this.#stores.sessions.revokeAll(userId, {
        reason: 'refresh_reused', by, ip: client.ip, now, revocationId: randomBytes(8).toString('hex'),
      }),
      this.#stores.audit.record('refresh_reused', { userId, sessionId: _id, client, now }),
    ]);
    await Promise.all(ended.map((session) => this.#tellEnded(userId, session._id, 'refresh_reused', by, now)));
  }

  async #issue(session, token, outcome) {
    const access = await this.#accessTokens.mint(session);
    return { session, access, refresh: this.#refreshTokens.mint(successor(token)), outcome };
  }

  /** Who acts with this access token; refused at once after a revocation. */
  async authenticate(accessToken) {
    const principal = await this.verify(accessToken);
    if (await this.#log.isRevoked(principal.sessionId)) throw sessionRevoked();
    if (!this.#isConfirmed(principal)) await this.confirm(principal);
    return principal;
  }

  /** Who the token speaks for, not asking whether its session was revoked since. */
  verify(accessToken) {
    return this.#accessTokens.verify(accessToken);
  }

  /** Note, once per generation, that the principal's token pair is in use. Best effort: the next use confirms. */
  async confirm(principal) {
    if (this.#isConfirmed(principal)) return;
    const { sessionId, generation } = principal;
    try {
      await this.#stores.sessions.confirm(sessionId, generation, new Date());
    } catch (error) {
      console.error(`generation not confirmed: ${error.message}`);
      return;
    }
    this.#confirmed.delete(sessionId);
    this.#confirmed.set(sessionId, generation);
    if (this.#confirmed.size > REMEMBERED) this.#confirmed.delete(this.#confirmed.keys().next().value);
  }

  #isConfirmed({ sessionId, generation }) {
    return this.#confirmed.get(sessionId) === generation;
  }

  /** The session of a genuine refresh token, good or not; touches no store. */
  refreshTokenSession(text) {
    return this.#refreshTokens.parse(text).sessionId;
  }

  /** The version is read before the sessions: a change in between is in the list, and is pushed once more. */
  async list(principal) {
    const { version, sessions: online } = await this.#log.online(principal.userId);
    const sessions = await this.#stores.sessions.ofUser(principal.userId, new Date());
    return { sessions, online, version };
  }

  /** End one session of the principal's user; what became of that at its sockets, on every node. */
  async revoke(principal, sessionId, { client }) {
    const now = new Date();
    const { userId } = principal;
    const by = { kind: 'user', sessionId: principal.sessionId };
    const ended = await this.#stores.sessions.revoke({
      sessionId, userId, reason: 'revoked', by, ip: client.ip, now,
    });
    if (!ended) throw notFound();
    return this.#tellEnded(userId, sessionId, 'revoked', by, now);
  }

  async #tellEnded(userId, sessionId, reason, by, now) {
    const payload = { sessionId, reason, at: now.toISOString(), by };
    const published = await this.#log.publish(userId, sessionId, 'session-revoked', payload, { deny: true });
    return this.#live.end(userId, sessionId, { ...payload, eventId: published.eventId }, published.counts);
  }
}

/** The document of a new session, as the server and the seed write it. */
export function newSession(user, refreshToken, client, { deviceName, now }) {
  const expiresAt = new Date(now.getTime() + IDLE_LIFE_MS);
  return {
    _id: refreshToken.sessionId,
    userId: user._id,
    nonceHash: hashNonce(refreshToken.nonce),
    generation: 0,
    confirmed: false,
    roles: user.roles,
    amr: ['pwd'],
    device: readDevice(client.userAgent, deviceName),
    userAgent: client.userAgent,
    ip: client.ip,
    location: null,
    loggedInAt: now,
    lastSeenAt: now,
    rotatedAt: now,
    expiresAt,
    endsAt: new Date(now.getTime() + WHOLE_LIFE_MS),
    purgeAt: new Date(expiresAt.getTime() + EXPIRED_KEPT_MS),
    revokedAt: null,
  };
}
