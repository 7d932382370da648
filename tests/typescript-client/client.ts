// What somebody writes against a client that is generated from /openapi.json: no cast, no `any`, nothing asserted.
// Says as one line of JSON what it was answered.

import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { argv: string[] };

const [, , baseUrl = "", plain = "", secured = "", password = "", code = ""] = process.argv;
const api = createClient<paths>({ baseUrl });

async function login(email: string) {
  const { data, error } = await api.POST("/api/auth/login", { body: { email, password } });
  if (error) throw new Error(`${error.code}: ${error.errors?.map(({ field }) => field).join() ?? error.message}`);
  return data.data;
}

async function withOneFactor(): Promise<string> {
  const answer = await login(plain);
  if (answer.mfaRequired) throw new Error("nobody set a second factor up");
  const { refreshToken = "" } = answer;
  const refreshed = await api.POST("/api/auth/refresh", { body: { refreshToken } });
  if (!refreshed.data) throw new Error(refreshed.error.code);
  const { outcome, accessToken = "" } = refreshed.data.data;
  const headers = { Authorization: `Bearer ${accessToken}` };
  const me = await api.GET("/api/auth/me", { headers });
  if (me.data?.data.user.email !== plain) throw new Error("somebody else");
  const renamed = await api.PATCH("/api/auth/me", { headers, body: { name: "Ada" } });
  if (renamed.data?.data.user.name !== "Ada") throw new Error("not renamed");
  const out = await api.POST("/api/auth/logout", { headers });
  if (out.error) throw new Error(out.error.code);
  return outcome;
}

async function withTwoFactors(): Promise<string[]> {
  const answer = await login(secured);
  if (!answer.mfaRequired) throw new Error("no second factor was asked for");
  const { mfaToken } = answer;
  const finished = await api.POST("/api/auth/2fa/verify", { body: { mfaToken, code } });
  if (finished.error) throw new Error(finished.error.code);
  return finished.data.data.session.amr;
}

async function wrongly(): Promise<string> {
  const { error } = await api.POST("/api/auth/login", { body: { email: plain, password: "wrong", delivery: "body" } });
  return error ? error.code : "let in";
}

console.log(JSON.stringify({ one: await withOneFactor(), two: await withTwoFactors(), wrong: await wrongly() }));
