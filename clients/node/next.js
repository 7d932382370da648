import { VerificationError } from "./errors.js";

/**
 * Next.js: resolves to the response of a refusal, or to null for a valid token. For middleware with the Node.js
 * runtime, and for route handlers.
 */
export async function refusal(verifier, request) {
  try {
    await verifier.verifyHeader(request.headers.get("authorization"));
    return null;
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return Response.json(error.body, { status: error.status, headers: error.headers });
  }
}

/** Next.js: a route handler that is called with a valid token only, and gets its claims as `context.claims`. */
export function protect(verifier, handler) {
  return async (request, context) => {
    let claims;
    try {
      claims = await verifier.verifyHeader(request.headers.get("authorization"));
    } catch (error) {
      if (!(error instanceof VerificationError)) throw error;
      return Response.json(error.body, { status: error.status, headers: error.headers });
    }
    return handler(request, { ...context, claims });
  };
}
