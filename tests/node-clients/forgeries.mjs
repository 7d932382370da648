// Reads {issuer, now, jwks, tokens} from standard input; prints for each token "accepted" or the code of the refusal.
import { createPublicKey } from "node:crypto";

import { headerOf, verifyToken } from "../../clients/node/tokens.js";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { issuer, now, jwks, tokens } = JSON.parse(text);
const keys = new Map(jwks.map((jwk) => [headerOf(jwk.kid), createPublicKey({ key: jwk, format: "jwk" })]));
const judge = (token) => {
  try {
    verifyToken(token, keys, { issuer, audience: "vigil", now, leeway: 5 });
    return "accepted";
  } catch (error) {
    return error.code;
  }
};
console.log(JSON.stringify(tokens.map(judge)));
