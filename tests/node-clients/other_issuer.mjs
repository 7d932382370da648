// Verifies the token of standard input twice, as a service that expects another issuer; prints codes and warnings.
import { Verifier } from "../../clients/node/index.js";

let token = "";
for await (const chunk of process.stdin) token += chunk;
const warnings = [];
const logger = { warn: (text) => warnings.push(text), error() {} };
const verifier = new Verifier({ issuer: "https://other.example.org", urls: [process.argv[2]], logger });
const code = () => verifier.verify(token).then(() => "accepted", (error) => error.code);
console.log(JSON.stringify({ codes: [await code(), await code()], warnings }));
verifier.close();
