import { Verifier } from "vigil-verify";

globalThis.vigil ??= new Verifier({
  issuer: "http://127.0.0.1:8000",
  serverKey: process.env.SERVER_KEY,
  audience: process.env.AUDIENCE,
  urls: process.env.URLS?.split(","),
  staleAfterSeconds: Number(process.env.STALE_AFTER),
});

export const { vigil } = globalThis;
