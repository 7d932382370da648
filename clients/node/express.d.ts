import type { Claims, Verifier } from "./index.js";

declare global {
  namespace Express {
    interface Request {
      claims: Claims;
    }
  }
}

/** Express: a middleware; `request.claims` are those of a valid token. */
export function protect(
  verifier: Verifier,
): (request: any, response: any, next: (error?: unknown) => void) => Promise<void>;
