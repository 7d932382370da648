// A Fastify service with a protected route; beside it handlers of Next.js, which are functions of web requests.
import Fastify from "fastify";
import { protect } from "vigil-verify/fastify";
import { protect as protectNext, refusal } from "vigil-verify/next";

import { announce, verifier } from "./common.mjs";

const app = Fastify();
app.get("/me", { onRequest: protect(verifier) }, async (request) => ({ userId: request.claims.userId }));

const handler = protectNext(verifier, (_, { claims }) => Response.json({ userId: claims.userId }));
const asWeb = (request) => new Request("http://127.0.0.1/", { headers: request.headers });
const send = async (reply, response) => reply.code(response.status).headers(Object.fromEntries(response.headers)).send(await response.json());
app.get("/next-handler", async (request, reply) => send(reply, await handler(asWeb(request), {})));
app.get("/next-middleware", async (request, reply) => {
  const refused = await refusal(verifier, asWeb(request));
  return send(reply, refused ?? (await handler(asWeb(request), {})));
});
await app.listen({ port: 0, host: "127.0.0.1" });
announce(app.server.address().port);
