/** Refusals as values of the protocol: a stable code, an HTTP status and a message that is safe to show. */

export class AuthError extends Error {
  constructor(code, status, message, { retryable = false } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryable = retryable;
    // Refusals are ordinary answers: nobody reads their stack.
    this.expose = true;
  }
}

// An Error's stack is costly to capture, and these are thrown as values.
const make = (code, status, message, options) => () => {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return new AuthError(code, status, message, options);
  } finally {
    Error.stackTraceLimit = limit;
  }
};

export const invalidJson = make('invalid_json', 400, 'The body is not valid JSON.');
export const invalidRequest = make('invalid_request', 400, 'The request is not valid.');
export const unknownEvent = make('unknown_event', 400, 'There is no such event.');
export const missingToken = make('missing_token', 401, 'An access token is required.');
export const invalidToken = make('invalid_token', 401, 'The token is not valid.');
export const tokenExpired = make('token_expired', 401, 'The access token has expired.');
export const sessionRevoked = make('session_revoked', 401, 'This session was ended.');
export const sessionExpired = make('session_expired', 401, 'This session has expired. Log in again.');
export const refreshReused = make('refresh_reused', 401, 'This refresh token was used before. Log in again.');
export const invalidCredentials = make('invalid_credentials', 401, 'The e-mail address or the password is wrong.');
export const emailNotVerified = make('email_not_verified', 403, 'Confirm your e-mail address first.');
export const forbidden = make('forbidden', 403, 'This token belongs to another session.');
export const notFound = make('not_found', 404, 'Not found.');
export const payloadTooLarge = make('payload_too_large', 413, 'The body is larger than 64 KiB.');
export const unsupportedMediaType = make('unsupported_media_type', 415, 'Send the body as application/json.');
export const unavailable = make('unavailable', 503, 'The service is temporarily unavailable.', { retryable: true });

const internal = make('internal_error', 500, 'Something went wrong on our side.');

// MongoDB's and Redis' own words for "not now".
const OUTAGES = new Set([
  'MongoNetworkError', 'MongoNetworkTimeoutError', 'MongoServerSelectionError', 'MongoWaitQueueTimeoutError',
  'MaxRetriesPerRequestError',
]);

/** The refusal that `error` amounts to; what is not one is logged and shown as an internal error. */
export function asRefusal(error) {
  if (error instanceof AuthError) return error;
  if (OUTAGES.has(error?.name)) return unavailable();
  console.error(error);
  return internal();
}
