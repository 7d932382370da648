// A Fastify service with a protected route.
import Fastify from "fastify";
import { protect } from "vigil-verify/fastify";

import { announce, verifier } from "./common.mjs";

const app = Fastify();
app.get("/me", { onRequest: protect(verifier) }, async (request) => ({ userId: request.claims.userId }));
await app.listen({ port: 0, host: "127.0.0.1" });
announce(app.server.address().port);
