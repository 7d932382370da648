// Verifies the token of standard input twice, as a service that expects an issuer; prints codes and warnings.
// Arguments: the URL of the keys, the issuer.
import { Verifier } from "../../clients/node/index.js";

let token = "";
for await (const chunk of process.stdin) token += chunk;
const warnings = [];
const logger = { warn: (text) => warnings.push(text), error() {} };
const verifier = new Verifier({ issuer: process.argv[3], urls: [process.argv[2]], logger });
const code = () => verifier.verify(token).then(() => "accepted", (error) => error.code);
console.log(JSON.stringify({ codes: [await code(), await code()], warnings }));
verifier.close();
