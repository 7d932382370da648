// An OpenID provider for the tests: certified software, with the pages that it has for developers.
// Environment: PORT, REDIRECT_URI, ALGORITHM (of ID tokens). Whoever types a name is that subject.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const { PORT, REDIRECT_URI, ALGORITHM = "RS256" } = process.env;

const made = {
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: () => generateKeyPairSync("ed25519"),
};
const keys = Object.entries(made).map(([alg, make]) => ({
  ...make().privateKey.export({ format: "jwk" }),
  alg,
  use: "sig",
  kid: `key-${alg}`,
}));

const provider = new Provider(`http://localhost:${PORT}`, {
  clients: [
    {
      client_id: "vigil",
      client_secret: "the-secret-of-the-client-for-tests",
      redirect_uris: [REDIRECT_URI],
      id_token_signed_response_alg: ALGORITHM,
    },
  ],
  jwks: { keys },
  enabledJWA: { idTokenSigningAlgValues: Object.keys(made) },
  cookies: { keys: ["only for tests"] },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  pkce: { required: () => true },
  async findAccount(_context, id) {
    const claims = { sub: id, email: `${id}@example.org`, email_verified: true, name: "Ada" };
    return { accountId: id, claims: async () => claims };
  },
});
provider.listen(Number(PORT), "127.0.0.1", () => console.log("listening"));
