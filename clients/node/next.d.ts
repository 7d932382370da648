import type { Claims, Verifier } from "./index.js";

/**
 * Next.js: resolves to the response of a refusal, or to null for a valid token. For `proxy.js`, for middleware with the
 * Node.js runtime, and for route handlers.
 */
export function refusal(verifier: Verifier, request: Request): Promise<Response | null>;

/** Next.js: a route handler that is called with a valid token only, and gets its claims as `context.claims`. */
export function protect<Context extends object, Incoming extends Request = Request>(
  verifier: Verifier,
  handler: (request: Incoming, context: Context & { claims: Claims }) => Response | Promise<Response>,
): (request: Incoming, context: Context) => Promise<Response>;
