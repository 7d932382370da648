/** The durable log of each user, presence and the deny-list in Redis: every call is one script, one round trip. */

// What a client can have missed and still catch up with.
const LOG_LENGTH = 256;
const LOG_LIFE_MS = 7 * 86_400_000;

export class UserLog {
  #redis;
  #keys;
  #nodeId;
  #denyMs;

  /** `denyMs`: how long a revoked session's access tokens could still pass for good. */
  constructor(redis, keys, { nodeId, denyMs }) {
    this.#redis = redis;
    this.#keys = keys;
    this.#nodeId = nodeId;
    this.#denyMs = denyMs;
  }

  /** List a new socket, unless its session was revoked, and read what came after `cursor`. */
  async join({ userId, sessionId }, socketId, cursor) {
    const keys = this.#keys;
    const [revoked, lastEventId, recovered, announced, others, entries] = await this.#redis.joinScript(
      keys.deny(sessionId), keys.sockets(userId), keys.log(userId), keys.meta(userId),
      keys.nodeSockets(this.#nodeId),
      socketId, this.#nodeId, sessionId, member(userId, sessionId, socketId), cursor ?? -1,
      LOG_LENGTH, LOG_LIFE_MS, deviceStatus(sessionId, true),
    );
    if (revoked) return { revoked: true };
    return { revoked: false, lastEventId, recovered: recovered === 1, announced, others, entries };
  }

  /** Take a socket off the list of `nodeId`; {eventId, others} when its device went offline by this. */
  async leave(nodeId, entry) {
    const keys = this.#keys;
    const [userId, sessionId, socketId] = entry.split('|');
    const [eventId, others] = await this.#redis.leaveScript(
      keys.sockets(userId), keys.log(userId), keys.meta(userId), keys.nodeSockets(nodeId),
      socketId, sessionId, entry, LOG_LENGTH, LOG_LIFE_MS, deviceStatus(sessionId, false),
    );
    return eventId ? { userId, sessionId, eventId, others } : null;
  }

  /**
   * Append `events`, each `{event, payload, versioned}`, with `deny` putting the session on the deny-list too; sets
   * their `eventId` and `version`. How many of the session's sockets are on which node, and how many others the
   * user has.
   */
  async publish(userId, sessionId, events, { deny = false } = {}) {
    const keys = this.#keys;
    const each = events.flatMap(({ event, payload, versioned }) => [
      event, versioned ? 1 : 0, JSON.stringify(payload),
    ]);
    const [sockets, nodes, appended] = await this.#redis.publishScript(
      keys.sockets(userId), keys.log(userId), keys.meta(userId), keys.nodes, keys.deny(sessionId),
      LOG_LENGTH, LOG_LIFE_MS, deny ? this.#denyMs : 0, sessionId, ...each,
    );
    events.forEach((event, place) => {
      event.eventId = appended[2 * place];
      event.version = appended[2 * place + 1];
    });
    const counts = new Map();
    let others = sockets;
    for (let i = 0; i < nodes.length; i += 2) {
      counts.set(nodes[i], nodes[i + 1]);
      others -= nodes[i + 1];
    }
    return { others, counts };
  }

  /** The entries after event `cursor`. */
  async after(userId, cursor) {
    return this.#redis.xrange(this.#keys.log(userId), `${cursor + 1}`, '+');
  }

  async isRevoked(sessionId) {
    return (await this.#redis.exists(this.#keys.deny(sessionId))) === 1;
  }

  async online(userId) {
    const keys = this.#keys;
    const [version, sessions] = await this.#redis.onlineScript(
      keys.sockets(userId), keys.nodes, keys.meta(userId),
    );
    return { version, sessions: new Set(sessions) };
  }
}

export const member = (userId, sessionId, socketId) => `${userId}|${sessionId}|${socketId}`;

/** An entry of the log as its event and payload were when they were pushed. */
export function readEntry([id, [, , , event, , version, , payload]]) {
  const message = JSON.parse(payload);
  message.eventId = Number(id.slice(0, id.indexOf('-')));
  if (version !== '0') message.version = Number(version);
  return { event, message };
}

export const deviceStatusMessage = (sessionId, online) => ({
  sessionId, online, sockets: online ? 1 : 0, lastSeenAt: new Date().toISOString(),
});

const deviceStatus = (sessionId, online) => JSON.stringify(deviceStatusMessage(sessionId, online));
