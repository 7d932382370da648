import { VerificationError } from "./errors.js";

/** Fastify: a hook (`onRequest`, `preHandler`); `request.claims` are those of a valid token. */
export function protect(verifier) {
  return async (request, reply) => {
    try {
      request.claims = await verifier.verifyHeader(request.headers.authorization);
    } catch (error) {
      if (!(error instanceof VerificationError)) throw error;
      return reply.code(error.status).headers(error.headers).send(error.body);
    }
  };
}
