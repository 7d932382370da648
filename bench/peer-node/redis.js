/** The Redis client with its scripts as commands of its own, and the names of its keys. */

import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';

const SCRIPTS = { join: 5, leave: 4, publish: 5, online: 3, renew: 1 };

export function connectRedis(url) {
  const redis = new Redis(url, {
    // Commands issued in one turn of the event loop leave in one write.
    enableAutoPipelining: true,
    maxRetriesPerRequest: 2,
    connectTimeout: 2000,
  });
  redis.on('error', () => {}); // it reconnects by itself; callers see their command fail
  const append = source('append');
  for (const [name, numberOfKeys] of Object.entries(SCRIPTS)) {
    redis.defineCommand(`${name}Script`, { numberOfKeys, lua: append + source(name) });
  }
  return redis;
}

const source = (name) => readFileSync(new URL(`lua/${name}.lua`, import.meta.url), 'utf8');

export const createKeys = (prefix) => ({
  nodes: `${prefix}:nodes`,
  adapter: `${prefix}:adapter`,
  deny: (sessionId) => `${prefix}:deny:${sessionId}`,
  sockets: (userId) => `${prefix}:user:${userId}:sockets`,
  log: (userId) => `${prefix}:user:${userId}:log`,
  meta: (userId) => `${prefix}:user:${userId}:meta`,
  nodeSockets: (nodeId) => `${prefix}:node:${nodeId}:sockets`,
});
