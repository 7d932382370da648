/** The composition root: settings, stores, operations, HTTP and the live side; runs until SIGTERM. */

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { readConfig } from './config.js';
import { createApp } from './http.js';
import { deriveKeys } from './keys.js';
import { Live } from './live.js';
import { Login } from './login.js';
import { createMetrics } from './metrics.js';
import { Presence } from './presence.js';
import { connectRedis, createKeys } from './redis.js';
import { Relay } from './relay.js';
import { RefreshTokens } from './refresh-tokens.js';
import { Sessions } from './sessions.js';
import { connectStores } from './stores.js';
import { AccessTokens } from './tokens.js';
import { UserLog } from './userlog.js';

const STOP_MS = 5000;

const config = readConfig();
const signing = deriveKeys(config.secret);
const metrics = createMetrics();
const nodeId = `${process.pid}-${randomBytes(4).toString('hex')}`;

const stores = await connectStores(config);
await stores.ensureIndexes();
const redis = connectRedis(config.redisUrl);
const keys = createKeys(config.prefix);
const userLog = new UserLog(redis, keys, { nodeId, denyMs: (config.tokenSeconds + 5) * 1000 });

const live = new Live({ redis, keys, config, nodeId, userLog, metrics });
const presence = new Presence(redis, keys, userLog, { nodeId, onOffline: (gone) => live.pushOffline(gone) });
const sessions = new Sessions({
  stores,
  accessTokens: new AccessTokens(signing, config),
  refreshTokens: new RefreshTokens(signing.refreshKey),
  userLog,
  live,
});
const login = new Login(stores, sessions);

const server = createServer({ keepAliveTimeout: 65_000 }, createApp({ sessions, login, stores, metrics }));
const relay = new Relay(stores.sessions, sessions);
await presence.start();
relay.start();
live.start(server, { sessions, presence });
server.listen(config.port, config.host, 4096, () => {
  console.log(`listening on http://${config.host}:${server.address().port}`);
});

let stopping = false;
async function stop() {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), STOP_MS).unref();
  relay.stop();
  await presence.stop();
  await live.stop();
  server.closeAllConnections();
  await stores.close();
  process.exit(0);
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
