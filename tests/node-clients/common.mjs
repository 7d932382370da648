// The verifier of the services under test, from the environment.
import { Verifier } from "vigil-verify";

const { ISSUER, SERVER_KEY, URLS, STALE_AFTER } = process.env;

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
