// A program that uses every export of vigil-verify with its types; each wrong use has to be an error.
import express from "express";
import Fastify from "fastify";
import { VerificationError, Verifier } from "vigil-verify";
import type { Claims, Health, Logger, RefusalCode, VerifierOptions } from "vigil-verify";
import { protect as protectExpress } from "vigil-verify/express";
import { protect as protectFastify } from "vigil-verify/fastify";
import { protect as protectNext, refusal } from "vigil-verify/next";

const logger: Logger = { warn: (text) => console.warn(text), error: (text) => console.error(text) };
const options: VerifierOptions = {
  issuer: "https://auth.example.org",
  serverKey: process.env["VIGIL_SERVER_KEY"],
  audience: undefined,
  urls: ["http://10.0.0.1:8000"] as const,
  leewaySeconds: 5,
  staleAfterSeconds: 15,
  whenStale: "accept",
  onHealth: ({ isCurrent, silentSeconds, revoked, keys, lastError }: Health) =>
    logger.error(`${isCurrent} ${silentSeconds?.toFixed(1)} ${revoked + keys} ${lastError?.trim()}`),
  logger,
};
const vigil: Verifier = new Verifier(options).start();
const health: Health = vigil.health;
logger.info?.(String(health.isCurrent));

export async function ownerOf(token: string): Promise<string> {
  try {
    const claims: Claims = await vigil.verify(token);
    const ends: number = Math.min(claims.expiresAt, claims.authTime + claims.generation + claims.issuedAt);
    return [claims.userId, claims.sessionId, claims.tokenId, ...claims.roles, ...claims.amr, ends].join();
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    const code: RefusalCode = error.code;
    const { success, message } = error.body;
    return `${error.status === 503} ${code} ${success === false} ${message} ${Object.keys(error.headers).join()}`;
  } finally {
    vigil.close();
  }
}

express().get("/orders", protectExpress(vigil), (request, response) => {
  response.json({ of: request.claims.userId });
});
Fastify().get("/orders", { onRequest: protectFastify(vigil) }, async (request) => ({ of: request.claims.userId }));

// The types by which Next.js checks the handlers of /orders/[orderId].
interface NextRequest extends Request {
  readonly nextUrl: URL;
}
interface RouteContext {
  params: Promise<{ orderId: string }>;
}
type RouteHandler = (request: NextRequest, context: RouteContext) => Response | Promise<Response>;
export const GET: RouteHandler = protectNext(vigil, (_, { claims }) => Response.json(claims.userId));
export const PUT: RouteHandler = protectNext(
  vigil,
  async (request: NextRequest, { params, claims }: RouteContext & { claims: Claims }) =>
    Response.json({ of: claims.userId, order: (await params).orderId, at: request.nextUrl.pathname }),
);
export const proxy = async (request: NextRequest): Promise<Response> => (await refusal(vigil, request)) ?? new Response();
export const header: Promise<Claims> = vigil.verifyHeader(new Headers().get("authorization"));

// @ts-expect-error: without an issuer
new Verifier({ serverKey: "vsk_x" });
// @ts-expect-error: an option of another name
new Verifier({ issuer: "vigil", url: "http://127.0.0.1:8000" });
// @ts-expect-error: neither of both words
new Verifier({ issuer: "vigil", whenStale: "ignore" });
// @ts-expect-error: milliseconds as text
new Verifier({ issuer: "vigil", staleAfterSeconds: "15000" });
// @ts-expect-error: without a token
vigil.verify();
// @ts-expect-error: claims that are still awaited
vigil.verify("token").userId;
export async function wrong(claims: Claims, error: VerificationError) {
  // @ts-expect-error: claims cannot be changed
  claims.roles.push("admin");
  // @ts-expect-error: there is no such claim
  claims.email;
  // @ts-expect-error: there is no such code
  error.code === "expired";
  // @ts-expect-error: without a check that there is a response
  (await refusal(vigil, new Request("http://127.0.0.1"))).status;
}
// @ts-expect-error: not the verifier
express().get("/orders", protectExpress(options));
// @ts-expect-error: not the verifier
Fastify().get("/orders", { onRequest: protectFastify("vsk_x") }, async () => null);
// @ts-expect-error: a handler that returns no response
protectNext(vigil, (_, { claims }) => claims.userId);
// @ts-expect-error: a handler of another route
export const POST: RouteHandler = protectNext(vigil, (_, context: { params: Promise<{ userId: string }> }) => new Response());
