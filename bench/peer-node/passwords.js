/** Argon2id on libuv's threads, never on the event loop. */

import { Algorithm, hash, verify } from '@node-rs/argon2';

// RFC 9106, section 4, the second recommended option, for where memory is scarce.
const RFC_9106_LOW_MEMORY = { algorithm: Algorithm.Argon2id, memoryCost: 65536, timeCost: 3, parallelism: 4 };
// An unknown account costs what a known one does, so that the time of an answer tells nobody which it was.
const decoy = hash('decoy', RFC_9106_LOW_MEMORY);

export const hashPassword = (password) => hash(password.normalize('NFC'), RFC_9106_LOW_MEMORY);

export async function verifyPassword(passwordHash, password) {
  const matches = await verify(passwordHash ?? (await decoy), password.normalize('NFC'));
  return matches && passwordHash !== undefined;
}
