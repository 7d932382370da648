/** Keys derived from the one root secret (HKDF-SHA256), parsed once and kept as key objects. */

import { createHash, createPrivateKey, createPublicKey, createSecretKey, hkdfSync } from 'node:crypto';

// RFC 8410: what stands before the 32 bytes of an Ed25519 private key in PKCS #8.
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

const derive = (secret, purpose) => Buffer.from(hkdfSync('sha256', secret, '', `bench ${purpose}`, 32));

export function deriveKeys(secret) {
  const seed = derive(secret, 'access tokens');
  const privateKey = createPrivateKey({ key: Buffer.concat([ED25519_PKCS8, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const kid = createHash('sha256').update(publicKey.export({ format: 'der', type: 'spki' })).digest('base64url');
  return {
    privateKey,
    publicKey,
    kid: kid.slice(0, 12),
    refreshKey: createSecretKey(derive(secret, 'refresh tokens')),
  };
}
