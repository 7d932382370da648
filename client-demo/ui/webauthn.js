/** WebAuthn: creates and uses passkeys through the browser's dialogs, with messages for their errors. */
import { VigilError } from "../vigil-errors.js";
import { html } from "./html.js";

/** Passkeys need a domain name: browsers refuse them at an IP address. */
const isAtAddress = () => /^[\d.]+$|^\[/.test(location.hostname);

/** Requires the JSON methods of WebAuthn level 3. */
export const supportsPasskeys = () =>
  !isAtAddress() && typeof globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON === "function";

/** Link to the host name at which passkeys work, if there is one. */
export function PasskeyHint() {
  if (location.hostname !== "127.0.0.1") return null;
  const url = location.origin.replace("127.0.0.1", "localhost");
  return html`<p class="field-note">Passkeys work at <a href=${url} data-testid="passkeys-elsewhere">${url}</a>.</p>`;
}

/**
 * @param {object} options from the server, as JSON
 * @returns {Promise<object>} the passkey's answer, as JSON
 */
export async function getPasskey(options) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return asJson(() => navigator.credentials.get({ publicKey }));
}

/**
 * @param {object} options from the server, as JSON
 * @returns {Promise<object>} the new passkey's public part, as JSON
 */
export async function createPasskey(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return asJson(() => navigator.credentials.create({ publicKey }));
}

const FAILURES = {
  NotAllowedError: "No passkey was used: you cancelled, it took too long, or there is none for this site.",
  InvalidStateError: "This device already has a passkey for your account.",
  SecurityError: "Passkeys cannot be used at this address.",
};

async function asJson(act) {
  try {
    return (await act()).toJSON();
  } catch (error) {
    throw new VigilError({ code: "passkey_failed", message: FAILURES[error.name] ?? "The passkey could not be used." });
  }
}
