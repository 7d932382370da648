// An Express service with a protected route; beside it one of plain Node.js.
import express from "express";
import { VerificationError } from "vigil-verify";
import { protect } from "vigil-verify/express";

import { announce, verifier } from "./common.mjs";

const app = express();
app.get("/me", protect(verifier), (request, response) => {
  response.json({ userId: request.claims.userId });
});
app.get("/plain", async (request, response) => {
  try {
    const { userId } = await verifier.verifyHeader(request.headers.authorization);
    response.json({ userId });
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    response.status(error.status).set(error.headers).json(error.body);
  }
});
const server = app.listen(0, "127.0.0.1", () => announce(server.address().port));
