import type { Claims, Verifier } from "./index.js";

declare module "fastify" {
  interface FastifyRequest {
    claims: Claims;
  }
}

/** Fastify: a hook (`onRequest`, `preHandler`); `request.claims` are those of a valid token. */
export function protect(verifier: Verifier): (request: any, reply: any) => Promise<unknown>;
