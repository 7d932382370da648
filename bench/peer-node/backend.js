/** An application's backend, a process of its own without sockets: lets callers with a key emit to users. */

import { createServer } from 'node:http';

import { readConfig } from './config.js';
import { Emitter } from './emitter.js';
import { invalidRequest, notFound, unsupportedMediaType } from './errors.js';
import { answerOthers, bearer, clientOf, expressApp, json, measure } from './http.js';
import { createMetrics } from './metrics.js';
import { connectRedis, createKeys } from './redis.js';
import { userRoom } from './rooms.js';
import { ServerKeys } from './server-keys.js';
import { connectStores } from './stores.js';
import { UserLog } from './userlog.js';

const ACT = 'POST /emit';
const EVENT = /^[A-Za-z0-9_.-]{1,32}:[A-Za-z0-9_.:@-]{1,96}$/;
const USER = /^[\x21-\x7e]{1,64}$/;
const FIELDS = new Set(['to', 'event', 'data', 'durable']);

const config = readConfig();
const stores = await connectStores(config);
const redis = connectRedis(config.redisUrl);
const keys = createKeys(config.prefix);
const userLog = new UserLog(redis, keys, { nodeId: '', denyMs: 0 });
const emitter = new Emitter(redis, keys);
const serverKeys = new ServerKeys(stores.serverKeys);
const metrics = createMetrics();

async function requireUser(userId) {
  if (!(await stores.users.byId(userId))) throw notFound();
}

/** Emit to a user's sockets, if there are any; a durable event is in the user's log before. */
async function emit({ userId, event, data, durable }) {
  if (!durable) {
    const sockets = await redis.hlen(keys.sockets(userId));
    if (sockets > 0) await emitter.emit(userRoom(userId), event, data);
    else await requireUser(userId);
    return { delivery: { sockets } };
  }
  await requireUser(userId);
  const entry = { event, payload: data, versioned: false };
  const { others: sockets } = await userLog.publish(userId, '', [entry]);
  const { eventId } = entry;
  if (sockets > 0) await emitter.emit(userRoom(userId), event, { ...data, eventId });
  return { eventId, delivery: { sockets } };
}

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

function readEmit(body) {
  if (body === undefined) throw unsupportedMediaType();
  if (!isObject(body)) throw invalidRequest();
  for (const name in body) if (!FIELDS.has(name)) throw invalidRequest();
  const { to, event, data, durable = false } = body;
  if (!isObject(to) || Object.keys(to).length !== 1) throw invalidRequest();
  if (typeof to.userId !== 'string' || !USER.test(to.userId)) throw invalidRequest();
  if (typeof event !== 'string' || !EVENT.test(event)) throw invalidRequest();
  if (!isObject(data) || 'eventId' in data || typeof durable !== 'boolean') throw invalidRequest();
  return { userId: to.userId, event, data, durable };
}

/** Write each use of a key to the audit trail. */
const record = (req, details) =>
  stores.audit.record('server_key_used', { userId: null, client: clientOf(req), details, now: new Date() });

const app = expressApp();
app.post('/api/server/emit', measure(metrics)(ACT), json, async (req, res) => {
  const { _id: key, name } = await serverKeys.authenticate(bearer(req), 'emit');
  const details = { key, name, act: ACT, outcome: 'internal_error' };
  try {
    const asked = readEmit(req.body);
    details.to = `user ${asked.userId}`;
    details.event = asked.event;
    const data = await emit(asked);
    details.outcome = 'ok';
    await record(req, details);
    res.json({ success: true, data });
  } catch (error) {
    if (details.outcome !== 'ok') await record(req, { ...details, outcome: error.code ?? details.outcome });
    throw error;
  }
});
answerOthers(app);

const server = createServer({ keepAliveTimeout: 65_000 }, app);
server.listen(config.port, config.host, 4096, () => {
  console.log(`listening on http://${config.host}:${server.address().port}`);
});

async function stop() {
  server.closeAllConnections();
  await stores.close();
  process.exit(0);
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
