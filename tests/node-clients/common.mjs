// The verifier of the services under test, from the environment.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Verifier } from "vigil-verify";

const { ISSUER, SERVER_KEY, URLS, STALE_AFTER, COLLECT_GARBAGE } = process.env;

if (COLLECT_GARBAGE) {
  setFlagsFromString("--expose-gc");
  setInterval(runInNewContext("gc"), 50).unref();
}

export const verifier = new Verifier({
  issuer: ISSUER,
  serverKey: SERVER_KEY,
  urls: URLS.split(","),
  staleAfterSeconds: Number(STALE_AFTER),
  // Code of the service: what it throws must end neither the process nor the stream.
  onHealth() {
    throw new Error("of the service");
  },
  logger: { warn() {}, error: (text) => console.error(text) },
});

export const announce = (port) => console.log(`listening on ${port}`);
