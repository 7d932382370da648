/** HTTP under /api/auth: each route parses, calls an operation and answers. */

import { randomUUID } from 'node:crypto';
import express from 'express';

import {
  asRefusal, invalidJson, invalidRequest, invalidToken, missingToken, notFound, payloadTooLarge,
  unsupportedMediaType,
} from './errors.js';
import { sessionView, tokensView, userView } from './views.js';

const BASE = '/api/auth';
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const MAX_USER_AGENT = 512;

export function createApp({ sessions, login, stores, metrics }) {
  const app = expressApp();
  const measured = measure(metrics);

  app.post(`${BASE}/login`, measured('POST /login'), json, async (req, res) => {
    const { email, password, deviceName } = fields(req.body, ['email', 'password'], ['deviceName', 'delivery']);
    const done = await login.login({ email, password, deviceName, client: clientOf(req) });
    const session = sessionView(done.session, { currentSessionId: done.session._id });
    res.json({ success: true, data: { user: userView(done.user), session, ...tokensView(done) } });
  });

  app.post(`${BASE}/refresh`, measured('POST /refresh'), json, async (req, res) => {
    const { refreshToken } = fields(req.body, ['refreshToken']);
    const done = await sessions.refresh(refreshToken, { client: clientOf(req) });
    res.json({ success: true, data: { ...tokensView(done), outcome: done.outcome } });
  });

  app.get(`${BASE}/me`, measured('GET /me'), async (req, res) => {
    const principal = await sessions.authenticate(bearer(req));
    const user = await stores.users.byId(principal.userId);
    if (!user) throw invalidToken();
    res.json({ success: true, data: { user: userView(user) } });
  });

  app.get(`${BASE}/sessions`, measured('GET /sessions'), async (req, res) => {
    const principal = await sessions.authenticate(bearer(req));
    const listed = await sessions.list(principal);
    const views = listed.sessions.map((session) =>
      sessionView(session, {
        currentSessionId: principal.sessionId,
        online: listed.online.has(session._id),
      }),
    );
    res.json({ success: true, data: { sessions: views, count: views.length, version: listed.version } });
  });

  app.delete(`${BASE}/sessions/:sessionId`, measured('DELETE /sessions/{id}'), async (req, res) => {
    const principal = await sessions.authenticate(bearer(req));
    const delivery = await sessions.revoke(principal, req.params.sessionId, { client: clientOf(req) });
    res.json({ success: true, data: { delivery } });
  });

  app.get('/health/live', (req, res) => res.json({ success: true, data: {} }));
  app.get('/metrics', async (req, res) => {
    const text = await metrics.render();
    res.type(metrics.contentType).send(text);
  });

  answerOthers(app);
  return app;
}

export const json = express.json({ limit: '64kb', inflate: false });

/** An application without what these servers do not use. */
export function expressApp() {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.set('case sensitive routing', true);
  return app;
}

/** Answer unknown paths, and every error: after the routes. */
export function answerOthers(app) {
  app.use(() => {
    throw notFound();
  });
  // Express knows an error handler by its four parameters.
  app.use((error, req, res, next) => answerError(error, res, next));
}

/** Counts and times the answers of a route, and names the request to whoever asks about it. */
export function measure(metrics) {
  return (route) => {
    const seconds = metrics.seconds(route);
    return (req, res, next) => {
      const begun = performance.now();
      res.setHeader('X-Request-Id', randomUUID());
      res.setHeader('Cache-Control', 'no-store');
      res.once('finish', () => {
        seconds.observe((performance.now() - begun) / 1000);
        metrics.requests(route, res.statusCode).inc();
      });
      next();
    };
  };
}

function answerError(error, res, next) {
  if (res.headersSent) return next(error);
  const refusal = asRefusal(ofBodyParser(error));
  if (refusal.status === 503) res.setHeader('Retry-After', '2');
  const requestId = res.getHeader('X-Request-Id') ?? randomUUID();
  return res
    .status(refusal.status)
    .json({ success: false, code: refusal.code, message: refusal.message, requestId });
}

function ofBodyParser(error) {
  if (error.type === 'entity.parse.failed') return invalidJson();
  if (error.type === 'entity.too.large') return payloadTooLarge();
  if (error.type?.startsWith('encoding.') || error.type?.startsWith('charset.')) return unsupportedMediaType();
  return error;
}

/** The body's fields, all strings; an unknown, missing or wrong one is refused. */
function fields(body, required, optional = []) {
  if (body === undefined) throw unsupportedMediaType();
  if (body === null || typeof body !== 'object' || Array.isArray(body)) throw invalidRequest();
  for (const name of required) if (!body[name]) throw invalidRequest();
  for (const name in body) {
    if (typeof body[name] !== 'string') throw invalidRequest();
    if (!required.includes(name) && !optional.includes(name)) throw invalidRequest();
  }
  return body;
}

export function bearer(req) {
  const header = req.headers.authorization;
  if (header === undefined) throw missingToken();
  const match = BEARER.exec(header);
  if (match === null) throw invalidToken();
  return match[1];
}

export const clientOf = (req) => ({
  ip: req.socket.remoteAddress,
  userAgent: (req.headers['user-agent'] ?? '').slice(0, MAX_USER_AGENT),
});
