// Verifies the token of standard input within a request of the service; prints whose it is, and in which request each
// call to Vigil was made.
import { AsyncLocalStorage } from "node:async_hooks";
import { Verifier } from "../../clients/node/index.js";

let token = "";
for await (const chunk of process.stdin) token += chunk;
const requests = new AsyncLocalStorage();
const calls = [];
const send = globalThis.fetch;
// Frameworks replace `fetch`, too, to know what a request fetches.
globalThis.fetch = (url, options) => {
  calls.push([new URL(url).pathname, requests.getStore() ?? null]);
  return send(url, options);
};
const logger = { warn() {}, error() {} };
const verifier = new Verifier({ issuer: "vigil", serverKey: "vsk_x", urls: [process.argv[2]], whenStale: "accept", logger });
const { userId } = await requests.run("a request", () => verifier.verify(token));
console.log(JSON.stringify({ userId, calls }));
verifier.close();
