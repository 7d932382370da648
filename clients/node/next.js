/**
 * Next.js: resolves to the response of a refusal, or to null for a valid token. For `proxy.js`, for middleware with the
 * Node.js runtime, and for route handlers.
 */
export async function refusal(verifier, request) {
  const { refused = null } = await check(verifier, request);
  return refused;
}

/** Next.js: a route handler that is called with a valid token only, and gets its claims as `context.claims`. */
export function protect(verifier, handler) {
  return async (request, context) => {
    const { refused, claims } = await check(verifier, request);
    return refused ?? handler(request, { ...context, claims });
  };
}

async function check(verifier, request) {
  try {
    return { claims: await verifier.verifyHeader(request.headers.get("authorization")) };
  } catch (error) {
    // By name: each bundle of an app has its own copy of the class, and the verifier may be of another one.
    if (error?.name !== "VerificationError") throw error;
    return { refused: Response.json(error.body, { status: error.status, headers: error.headers }) };
  }
}
