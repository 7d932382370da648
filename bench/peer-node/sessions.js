/** What a user does with sessions: begin one, refresh it, see them, end one. HTTP and the live socket both call it. */

import { randomBytes, timingSafeEqual } from 'node:crypto';

import {
  invalidToken, notFound, refreshReused, sessionExpired, sessionRevoked, unavailable,
} from './errors.js';
import { collected } from './batch.js';
import { readDevice } from './devices.js';
import { hashNonce, newRefreshToken, successor } from './refresh-tokens.js';
import { judge } from './rotation.js';
import { sessionView } from './views.js';

const IDLE_LIFE_MS = 7 * 86_400_000;
const WHOLE_LIFE_MS = 30 * 86_400_000;
const EXPIRED_KEPT_MS = 3_600_000;
// A node remembers this many confirmed generations; forgetting one costs a write.
const REMEMBERED = 50_000;
// How often a device in use is noted as seen.
const SEEN_MS = 60_000;
// Marks of published events are removed together; the relay takes one for untold after two seconds.
const UNMARK_MS = 100;
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
  #seen = new Map();
  #unmark = collected((told) => this.#removeMarks(told), UNMARK_MS);

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
    const alerts = isNewDevice(session, await this.#stores.sessions.sightings(session)) ? ['new_device'] : [];
    const [, , access] = await Promise.all([
      this.#announce(user._id, session, alerts, now),
      this.#stores.audit.record('login', {
        userId: user._id, sessionId: session._id, client, details: { amr: 'pwd', delivery: 'body' }, now,
      }),
      this.#accessTokens.mint(session),
    ]);
    return { session, access, refresh: this.#refreshTokens.mint(refreshToken) };
  }

  async #announce(userId, session, alerts, now) {
    const view = sessionView(session);
    const events = [
      { event: 'sessions-changed', payload: { change: 'created', session: view }, versioned: true },
      ...alerts.map((kind) => ({ event: 'security-alert', payload: { kind, session: view, at: now.toISOString() } })),
    ];
    const { others } = await this.#log.publish(userId, session._id, events);
    for (const event of events) this.#live.push(userId, event, others);
    this.#unmark({ sessionId: session._id, kind: 'created' });
  }

  async #removeMarks(told) {
    try {
      for (const kind of new Set(told.map((each) => each.kind))) {
        const ids = told.filter((each) => each.kind === kind).map((each) => each.sessionId);
        await this.#stores.sessions.told(ids, kind);
      }
    } catch (error) {
      console.error(`marks not removed: ${error.message}`); // told once more by the relay, which clients bear
    }
  }

  /** Publish what a node wrote and did not publish. */
  async tellAgain(session) {
    if (session.untold === 'created') return this.#announce(session.userId, session, [], new Date());
    await this.#tellEnded(session);
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
    await Promise.all(ended.flatMap((session) => [this.#recordEnded(session, client), this.#tellEnded(session)]));
  }

  async #issue(session, token, outcome) {
    const access = await this.#accessTokens.mint(session);
    return { session, access, refresh: this.#refreshTokens.mint(successor(token)), outcome };
  }

  /** Who acts with this access token; refused at once after a revocation. */
  async authenticate(accessToken) {
    const principal = await this.verify(accessToken);
    if (await this.#log.isRevoked(principal.sessionId)) throw sessionRevoked();
    if (!this.#isConfirmed(principal) || !this.#isSeen(principal.sessionId)) await this.confirm(principal);
    return principal;
  }

  /** Who the token speaks for, not asking whether its session was revoked since. */
  verify(accessToken) {
    return this.#accessTokens.verify(accessToken);
  }

  /**
   * Note, once per generation, that the principal's token pair is in use, and once a minute that its device is.
   * Best effort: the next use notes it.
   */
  async confirm(principal) {
    const { sessionId, generation } = principal;
    try {
      if (!this.#isConfirmed(principal)) {
        await this.#stores.sessions.confirm({ sessionId, generation });
        remember(this.#confirmed, sessionId, generation);
      } else if (this.#isSeen(sessionId)) {
        return;
      } else {
        await this.#stores.sessions.touch(sessionId);
      }
      remember(this.#seen, sessionId, Date.now());
    } catch (error) {
      console.error(`generation not confirmed: ${error.message}`);
    }
  }

  /** Note that the device was seen until now. Best effort. */
  async seen(sessionId) {
    try {
      await this.#stores.sessions.touch(sessionId);
    } catch (error) {
      console.error(`device not seen: ${error.message}`);
    }
  }

  #isSeen(sessionId) {
    return Date.now() - (this.#seen.get(sessionId) ?? 0) <= SEEN_MS;
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
    const [delivery] = await Promise.all([this.#tellEnded(ended), this.#recordEnded(ended, client)]);
    return delivery;
  }

  /** Tell the session's own sockets, and those of the user's other devices, whose list has changed. */
  async #tellEnded({ _id: sessionId, userId, revokedReason: reason, revokedBy: by, revokedAt, ...session }) {
    const payload = { sessionId, reason, at: revokedAt.toISOString(), by };
    const view = sessionView({ _id: sessionId, ...session });
    const events = [
      { event: 'session-revoked', payload },
      { event: 'sessions-changed', payload: { change: 'removed', session: view }, versioned: true },
    ];
    const { others, counts } = await this.#log.publish(userId, sessionId, events, { deny: true });
    this.#unmark({ sessionId, kind: 'ended' });
    this.#live.push(userId, events[1], others);
    return this.#live.end(userId, sessionId, { ...payload, eventId: events[0].eventId }, counts);
  }

  #recordEnded({ _id: sessionId, userId, generation, revokedReason: reason, revokedBy: by, revokedAt: now }, client) {
    const details = { generation: String(generation), reason, by: by.kind, bySession: by.sessionId ?? '' };
    return this.#stores.audit.record('session_revoked', { userId, sessionId, client, details, now });
  }
}

/** Whether no earlier login came from such a device; the first login of all is not reported. */
function isNewDevice({ device: { browser, os, kind } }, sightings) {
  const isSame = ({ device }) => device.browser === browser && device.os === os && device.kind === kind;
  return sightings.length > 0 && !sightings.some(isSame);
}

/** The oldest entry goes when there are too many. */
function remember(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
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
