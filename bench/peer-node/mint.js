/** Prints a fresh access token for each session id on stdin; all of one run begin in the same second. */

import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

import { readConfig } from './config.js';
import { deriveKeys } from './keys.js';
import { connectStores } from './stores.js';
import { AccessTokens } from './tokens.js';

const BATCH = 1000;

const { values } = parseArgs({ options: { seconds: { type: 'string' } } });
const config = readConfig();
const accessTokens = new AccessTokens(deriveKeys(config.secret), config);
const stores = await connectStores(config);
const ids = (await text(process.stdin)).split(/\s+/).filter(Boolean);

const sessions = new Map();
for (let start = 0; start < ids.length; start += BATCH) {
  const found = await stores.sessions.byIds(ids.slice(start, start + BATCH));
  for (const session of found) sessions.set(session._id, session);
}
await stores.close();

const options = { now: Date.now(), ...(values.seconds && { seconds: Number(values.seconds) }) };
for (const sessionId of ids) {
  const session = sessions.get(sessionId);
  if (!session) throw new Error(`no such session: ${sessionId}`);
  const { token: accessToken } = await accessTokens.mint(session, options);
  process.stdout.write(`${JSON.stringify({ sessionId, accessToken })}\n`);
}
