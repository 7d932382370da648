/** The live side: who comes in, what they hear, how long they stay and how they are made to go. */

import { Server } from 'socket.io';
import { createAdapter } from '@socket.io/redis-streams-adapter';

import { asRefusal, invalidRequest, sessionRevoked } from './errors.js';
import { ExpiryWheel } from './expiry.js';
import { createHandlers } from './handlers.js';
import { endHere, endEverywhere } from './revocation.js';
import { userRoom } from './rooms.js';
import { deviceStatusMessage, member, readEntry } from './userlog.js';
import { iso } from './views.js';

const PROTOCOL = 1;

export class Live {
  #io;
  #nodeId;
  #log;
  #sessions;
  #presence;
  #metrics;
  #graceMs;
  #wheel;
  // Sockets that are listed in Redis but not in their room yet: a revocation must find them, too.
  #arriving = new Set();
  #open = 0;

  constructor({ redis, keys, config, nodeId, userLog, metrics }) {
    this.#nodeId = nodeId;
    this.#log = userLog;
    this.#metrics = metrics;
    this.#graceMs = config.graceMs;
    this.#wheel = new ExpiryWheel({
      leadMs: config.leadMs,
      graceMs: config.graceMs,
      act: { warn: this.#warn, expire: this.#expire, end: (socket) => socket.disconnect(true) },
    });
    this.#io = new Server({
      transports: ['websocket'],
      allowUpgrades: false,
      serveClient: false,
      perMessageDeflate: false,
      httpCompression: false,
      maxHttpBufferSize: 1e6,
      pingInterval: 25_000,
      pingTimeout: 20_000,
      connectTimeout: 5_000,
      adapter: createAdapter(redis, { streamName: keys.adapter, channelPrefix: keys.adapter }),
    });
  }

  /** Begin to serve sockets on `httpServer`. */
  start(httpServer, { sessions, presence }) {
    this.#sessions = sessions;
    this.#presence = presence;
    this.#wheel.start();
    const serve = createHandlers({
      io: this.#io, sessions, metrics: this.#metrics, renew: (socket, principal) => this.#renew(socket, principal),
    });
    this.#io.use((socket, next) => this.#admit(socket, next));
    this.#io.on('connection', (socket) => this.#greet(socket, serve));
    this.#io.on('end-session', (order, answer) => this.#endHere(order).then(answer));
    this.#io.attach(httpServer);
  }

  async stop() {
    this.#wheel.stop();
    await this.#io.close();
  }

  /** Push what was appended to a user's log to that user's sockets, wherever they are; nobody there, no push. */
  push(userId, { event, payload, eventId, version }, sockets) {
    if (sockets === 0) return;
    const message = version ? { ...payload, eventId, version } : { ...payload, eventId };
    this.#io.to(userRoom(userId)).emit(event, message);
  }

  pushOffline({ userId, sessionId, eventId, others }) {
    const payload = deviceStatusMessage(sessionId, false);
    this.push(userId, { event: 'device-status', payload, eventId }, others);
  }

  /** Tell a session's sockets on every node that it ended, and disconnect them; what became of that. */
  end(userId, sessionId, message, counts) {
    const order = { userId, sessionId, message };
    return endEverywhere(this.#io, order, counts, this.#nodeId, () => this.#endHere(order));
  }

  /** Only a socket whose token is good and whose session is not revoked becomes a connection. */
  async #admit(socket, next) {
    try {
      const { token, lastEventId } = handshakeOf(socket);
      const principal = await this.#sessions.verify(token);
      const { userId, sessionId, issuedAt, expiresAt } = principal;
      const data = { userId, sessionId, issuedAt, expiresAt, state: 'arriving', stage: '', tick: 0, joined: null };
      socket.data = data;
      this.#arriving.add(socket);
      const [joined] = await Promise.all([
        this.#log.join(principal, socket.id, lastEventId),
        this.#sessions.confirm(principal),
      ]);
      if (joined.revoked) throw sessionRevoked();
      data.joined = joined;
      if (data.state === 'closing' || socket.conn.readyState !== 'open') {
        this.#presence.leaveSoon(member(userId, sessionId, socket.id));
        throw sessionRevoked();
      }
      next();
    } catch (error) {
      this.#arriving.delete(socket);
      const refusal = asRefusal(error);
      this.#metrics.handshakes(refusal.code).inc();
      refusal.data = { code: refusal.code, retryable: refusal.retryable };
      next(refusal);
    }
  }

  #greet(socket, serve) {
    const { data } = socket;
    const { userId, sessionId } = data;
    const { lastEventId, recovered, announced, others, entries } = data.joined;
    // Nothing needs the upgrade request any more; with its headers it is the largest part of an idle socket.
    socket.conn.request = null;
    socket.handshake = null;
    data.joined = null;
    data.state = 'live';
    this.#arriving.delete(socket);
    socket.join(userRoom(userId));
    socket.onAny(serve);
    socket.on('disconnect', this.#leave);
    socket.emit('ready', {
      protocol: PROTOCOL,
      userId,
      sessionId,
      socketId: socket.id,
      accessTokenExpiresAt: iso(data.expiresAt),
      graceMs: this.#graceMs,
      serverTime: new Date().toISOString(),
      lastEventId,
      recovered,
    });
    this.#sendEntries(socket, entries);
    this.#closeGap(socket, userId, lastEventId);
    if (announced && others > 0) {
      const message = { ...deviceStatusMessage(sessionId, true), eventId: announced };
      socket.to(userRoom(userId)).emit('device-status', message);
    }
    this.#wheel.watch(socket);
    this.#metrics.handshakes('ok').inc();
    this.#metrics.sockets.set(++this.#open);
  }

  #sendEntries(socket, entries) {
    for (const entry of entries) {
      const { event, message } = readEntry(entry);
      socket.emit(event, message);
    }
  }

  /**
   * What was pushed between the reading of the log and the entry into the room reached the socket by neither way:
   * read once more. Clients know an event that comes twice by its id.
   */
  async #closeGap(socket, userId, lastEventId) {
    try {
      this.#sendEntries(socket, await this.#log.after(userId, lastEventId));
    } catch {
      socket.disconnect(true); // its client comes back with its cursor
    }
  }

  // Socket.IO calls its listeners with the socket as `this`; one function serves them all.
  #leave = ((live) => function leave() {
    const { userId, sessionId } = this.data;
    this.data.state = 'closing';
    live.#wheel.forget(this);
    live.#metrics.sockets.set(--live.#open);
    live.#presence.leaveSoon(member(userId, sessionId, this.id));
    if (!this.data.ended) live.#sessions.seen(sessionId);
  })(this);

  #renew(socket, { issuedAt, expiresAt }) {
    const { data } = socket;
    // Revoked while we were asking: no token brings the socket back.
    if (data.state === 'closing') throw sessionRevoked();
    data.issuedAt = issuedAt;
    data.expiresAt = expiresAt;
    data.state = 'live';
    this.#wheel.watch(socket);
  }

  #warn = (socket) => {
    const { expiresAt } = socket.data;
    socket.emit('token-expiring', {
      expiresAt: iso(expiresAt),
      expiresInMs: Math.max(expiresAt - Date.now(), 0),
      graceMs: this.#graceMs,
    });
  };

  #expire = (socket) => {
    socket.data.state = 'expired';
    socket.emit('token-expired', { graceEndsAt: iso(socket.data.expiresAt + this.#graceMs) });
  };

  #endHere({ userId, sessionId, message }) {
    const { adapter, sockets } = this.#io.of('/');
    const concerned = [];
    for (const id of adapter.rooms.get(userRoom(userId)) ?? []) {
      const socket = sockets.get(id);
      if (socket?.data.sessionId === sessionId && socket.data.state !== 'closing') concerned.push(socket);
    }
    for (const socket of this.#arriving) {
      if (socket.data.sessionId === sessionId) socket.data.state = 'closing';
    }
    for (const socket of concerned) {
      socket.data.state = 'closing';
      socket.data.ended = true;
      this.#wheel.forget(socket);
    }
    return endHere(this.#nodeId, concerned, message);
  }
}

function handshakeOf(socket) {
  const { token, lastEventId } = socket.handshake.auth ?? {};
  if (lastEventId !== undefined && !(Number.isSafeInteger(lastEventId) && lastEventId >= 0)) throw invalidRequest();
  return { token, lastEventId };
}
