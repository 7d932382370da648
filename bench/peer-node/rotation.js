/** The refresh verdict: what a genuine refresh token means that is not (or not any more) the current one. Pure. */

const LEEWAY_MS = 10_000;

export function judge({ generation, nonceMatches, session, now }) {
  if (session.revokedAt) return 'session_revoked';
  if (session.expiresAt <= now) return 'session_expired';
  if (!nonceMatches || generation > session.generation) return 'forged';
  if (generation === session.generation) return 'rotated';
  if (generation < session.generation - 1) return 'refresh_reused';
  if (!session.confirmed) return 'replayed';
  return now - session.rotatedAt <= LEEWAY_MS ? 'concurrent' : 'refresh_reused';
}
