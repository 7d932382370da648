/** Client events: each takes an object and an ack, and whatever a client sends, nothing is raised. */

import { asRefusal, forbidden, invalidRequest, sessionRevoked, tokenExpired, unknownEvent } from './errors.js';
import { iso, tokensView } from './views.js';

// What a socket is served between the end of its token and the end of its grace.
const SERVED_IN_GRACE = new Set(['reauthenticate', 'refresh']);

/** The one listener of every socket; `renew(socket, principal)` gives a socket a new token's life. */
export function createHandlers({ io, sessions, metrics, renew }) {
  const handlers = new Map([
    ['reauthenticate', reauthenticate],
    ['refresh', refresh],
    ['bench:join', join],
    ['bench:push', push],
  ]);

  async function reauthenticate(socket, { token }) {
    const { userId, sessionId } = socket.data;
    const principal = await sessions.authenticate(token);
    if (principal.userId !== userId || principal.sessionId !== sessionId) throw forbidden();
    renew(socket, principal);
    return { ok: true, accessTokenExpiresAt: iso(principal.expiresAt) };
  }

  async function refresh(socket, { refreshToken }) {
    if (sessions.refreshTokenSession(refreshToken) !== socket.data.sessionId) throw forbidden();
    const done = await sessions.refresh(refreshToken, { client: { ip: socket.conn.remoteAddress, userAgent: '' } });
    renew(socket, done.access);
    return { ok: true, ...tokensView(done), outcome: done.outcome };
  }

  function join(socket, { room }) {
    if (typeof room !== 'string') throw invalidRequest();
    socket.join(room);
    return { ok: true };
  }

  function push(socket, { room, data }) {
    if (typeof room !== 'string') throw invalidRequest();
    io.to(room).emit('bench:message', data ?? {});
    return { ok: true };
  }

  async function answer(socket, event, payload) {
    const handler = handlers.get(event);
    try {
      if (!handler) throw unknownEvent();
      if (socket.data.state === 'closing') throw sessionRevoked();
      if (socket.data.state === 'expired' && !SERVED_IN_GRACE.has(event)) throw tokenExpired();
      if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) throw invalidRequest();
      const ack = await handler(socket, payload);
      metrics.events(event, 'ok').inc();
      return ack;
    } catch (error) {
      const { code, message } = asRefusal(error);
      // A client chooses the names of unknown events: they must not become label values.
      metrics.events(handler ? event : 'unknown', code).inc();
      return { ok: false, code, message };
    }
  }

  // Called by Socket.IO with the socket as `this`: one function for all of them, no closure for each.
  return async function serve(event, ...args) {
    const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    const done = await answer(this, event, args.length > 0 ? args[0] : {});
    ack?.(done);
  };
}
