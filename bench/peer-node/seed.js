/** Writes users and sessions through the server's own code; prints one JSON line a session. */

import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';

import { readConfig } from './config.js';
import { deriveKeys } from './keys.js';
import { emailKey } from './login.js';
import { hashPassword } from './passwords.js';
import { newRefreshToken, RefreshTokens } from './refresh-tokens.js';
import { newSession } from './sessions.js';
import { connectStores } from './stores.js';
import { AccessTokens } from './tokens.js';

const PASSWORD = 'bench-password-8341';
const BATCH = 500;
const CLIENT = {
  ip: '127.0.0.1',
  userAgent:
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
};

const { values } = parseArgs({ options: { users: { type: 'string' }, 'sessions-per-user': { type: 'string' } } });
const users = Number(values.users);
const perUser = Number(values['sessions-per-user']);
if (!Number.isInteger(users) || !Number.isInteger(perUser)) {
  console.error('usage: seed.js --users N --sessions-per-user K');
  process.exit(2);
}

const config = readConfig();
const signing = deriveKeys(config.secret);
const accessTokens = new AccessTokens(signing, config);
const refreshTokens = new RefreshTokens(signing.refreshKey);
const stores = await connectStores(config);
await stores.ensureIndexes();
const passwordHash = await hashPassword(PASSWORD);

for (let start = 0; start < users; start += BATCH) {
  await seed(start, Math.min(start + BATCH, users));
}
await stores.close();

async function seed(start, end) {
  const now = new Date();
  const batch = Array.from({ length: end - start }, (_, offset) => newUser(start + offset, now));
  const made = batch.flatMap((user) =>
    Array.from({ length: perUser }, () => {
      const token = newRefreshToken();
      return { user, token, session: newSession(user, token, CLIENT, { now }) };
    }),
  );
  await stores.users.createMany(batch);
  if (made.length > 0) await stores.sessions.createMany(made.map(({ session }) => session));
  for (const { user, token, session } of made) {
    const { token: accessToken } = await accessTokens.mint(session);
    print({
      userId: user._id, email: user.email, sessionId: session._id, accessToken, refreshToken: refreshTokens.mint(token),
    });
  }
}

function newUser(number, now) {
  const email = `bench-${number}@example.org`;
  return {
    _id: randomBytes(16).toString('hex'),
    email,
    emailKey: emailKey(email),
    emailVerifiedAt: now,
    name: `Bench ${number}`,
    username: null,
    roles: [],
    passwordHash,
    createdAt: now,
  };
}

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
