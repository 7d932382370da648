/** Argon2id on libuv's threads, never on the event loop. */

import { Algorithm, hash, verify } from '@node-rs/argon2';

// RFC 9106, section 4, the second recommended option, for where memory is scarce.
const RFC_9106_LOW_MEMORY = { algorithm: Algorithm.Argon2id, memoryCost: 65536, timeCost: 3, parallelism: 4 };
// An unknown account costs what a known one does, so that the time of an answer tells nobody which it was.
const decoy = hash('decoy', RFC_9106_LOW_MEMORY);

// One of libuv's four threads stays free of Argon2: signatures are checked there, too, and would wait for every login.
const AT_ONCE = 3;
let running = 0;
const waiting = [];

async function inTurn(work) {
  if (running >= AT_ONCE) await new Promise((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

export const hashPassword = (password) => hash(password.normalize('NFC'), RFC_9106_LOW_MEMORY);

export async function verifyPassword(passwordHash, password) {
  const stored = passwordHash ?? (await decoy);
  const matches = await inTurn(() => verify(stored, password.normalize('NFC')));
  return matches && passwordHash !== undefined;
}
