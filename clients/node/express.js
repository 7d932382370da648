import { VerificationError } from "./errors.js";

/** Express: a middleware; `request.claims` are those of a valid token. */
export function protect(verifier) {
  return async (request, response, next) => {
    try {
      request.claims = await verifier.verifyHeader(request.headers.authorization);
    } catch (error) {
      if (!(error instanceof VerificationError)) return next(error);
      return response.status(error.status).set(error.headers).json(error.body);
    }
    return next();
  };
}
