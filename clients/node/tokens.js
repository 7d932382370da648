// The checks of an access token (protocol.md, section 4). Only the exact header that Vigil writes for one of its keys
// is accepted: nothing in a header is interpreted.

import { verify as verifySignature } from "node:crypto";

import { VerificationError } from "./errors.js";

// Vigil's tokens have some 500 bytes. Longer ones are refused before they are decoded.
const MAX_LENGTH = 4096;
const FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const MAX_TIME = 2 ** 37;
const MAX_NUMBERS = { exp: MAX_TIME, iat: MAX_TIME, auth_time: MAX_TIME, gen: 2 ** 32 - 1 };
const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const TEXTS = ["sub", "sid", "jti"];
const LISTS = ["roles", "amr"];

const invalid = () => new VerificationError("invalid_token");

/** The header of all tokens that are signed with this key. */
export function headerOf(keyId) {
  return Buffer.from(JSON.stringify({ alg: "EdDSA", kid: keyId, typ: "at+jwt" })).toString("base64url");
}

/** The first segment of what may be a token. Throws for anything else. */
export function headerIn(token) {
  if (typeof token !== "string" || token.length > MAX_LENGTH || !FORM.test(token) || token.endsWith("\n")) {
    throw invalid();
  }
  return token.slice(0, token.indexOf("."));
}

/** Return the claims. `keys`: a Map of public keys by the headers of their tokens. `now` and `leeway`: in seconds. */
export function verifyToken(token, keys, { issuer, audience, now, leeway }) {
  const header = headerIn(token);
  const key = keys.get(header);
  if (key === undefined) throw invalid();
  const [, payload, signature] = token.split(".");
  const signed = Buffer.from(token.slice(0, token.lastIndexOf(".")));
  if (!verifySignature(null, signed, key, canonical(signature))) throw invalid();
  let text, claims;
  try {
    text = UTF_8.decode(canonical(payload));
    claims = JSON.parse(text);
  } catch {
    throw invalid();
  }
  // Numbers that JavaScript cannot tell from integers, and repeated names, are not written by Vigil.
  if (!isObject(claims) || JSON.stringify(claims) !== text) throw invalid();
  if (claims.iss !== issuer || claims.aud !== audience) {
    const [found, expected] = [[claims.iss, claims.aud], [issuer, audience]].map((each) => JSON.stringify(each));
    throw Object.assign(invalid(), { cause: `issuer and audience of a genuine token are ${found}, expected ${expected}` });
  }
  const found = claimsOf(claims);
  if (found.issuedAt > now + leeway) {
    const ahead = Math.round(found.issuedAt - now);
    const cause = `the clock of this machine is behind: a genuine token was issued ${ahead} s ahead of it`;
    throw Object.assign(invalid(), { cause });
  }
  if (now >= found.expiresAt + leeway) throw new VerificationError("token_expired");
  return found;
}

function canonical(text) {
  const raw = Buffer.from(text, "base64url");
  if (raw.toString("base64url") !== text) throw invalid();
  return raw;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function claimsOf(claims) {
  for (const name of TEXTS) if (typeof claims[name] !== "string") throw invalid();
  for (const [name, most] of Object.entries(MAX_NUMBERS)) {
    const value = claims[name];
    if (!Number.isInteger(value) || value < 0 || value > most) throw invalid();
  }
  for (const name of LISTS) {
    const values = claims[name];
    if (!Array.isArray(values) || !values.every((each) => typeof each === "string")) throw invalid();
  }
  for (const [name, value] of Object.entries(claims)) {
    if (typeof value === "object" && value !== null && !LISTS.includes(name)) throw invalid();
  }
  return Object.freeze({
    userId: claims.sub,
    sessionId: claims.sid,
    roles: Object.freeze([...claims.roles]),
    amr: Object.freeze([...claims.amr]),
    generation: claims.gen,
    authTime: claims.auth_time,
    issuedAt: claims.iat,
    expiresAt: claims.exp,
    tokenId: claims.jti,
  });
}
