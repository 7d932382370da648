/** What clients are shown: built field by field, so that no hash can slip into an answer. */

export const userView = (user) => ({
  userId: user._id,
  email: user.email,
  emailVerified: user.emailVerifiedAt !== null,
  name: user.name,
  username: user.username,
  roles: user.roles,
  createdAt: user.createdAt,
});

export const sessionView = (session, { currentSessionId = null, online = false } = {}) => ({
  sessionId: session._id,
  device: session.device,
  userAgent: session.userAgent,
  ip: session.ip,
  location: session.location,
  loggedInAt: session.loggedInAt,
  lastSeenAt: session.lastSeenAt,
  expiresAt: session.expiresAt,
  isCurrent: session._id === currentSessionId,
  online,
  amr: session.amr,
});

export const tokensView = ({ access, refresh, session }) => ({
  accessToken: access.token,
  accessTokenExpiresAt: iso(access.expiresAt),
  refreshToken: refresh,
  refreshTokenExpiresAt: session.expiresAt,
});

export const iso = (ms) => new Date(ms).toISOString();
