/** Passkeys of this device: the browser's own dialogs, and what of their outcome a person is told. */
import { VigilError } from "../vigil-rules.js";
import { html } from "./html.js";

/** A passkey belongs to a name: browsers have none for an IP address. */
const isAtAddress = () => /^[\d.]+$|^\[/.test(location.hostname);

/** Browsers without the JSON forms of WebAuthn level 3 are offered no passkeys. */
export const hasPasskeys = () =>
  !isAtAddress() && typeof globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON === "function";

/** The way to the name of this server where passkeys work; nothing where there is none. */
export function PasskeysElsewhere() {
  if (location.hostname !== "127.0.0.1") return null;
  const url = location.origin.replace("127.0.0.1", "localhost");
  return html`<p class="field-note">Passkeys work at <a href=${url} data-testid="passkeys-elsewhere">${url}</a>.</p>`;
}

/**
 * @param {object} options what the server asks, as JSON
 * @returns {Promise<object>} what a passkey answered, as JSON
 */
export async function askPasskey(options) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return asJson(() => navigator.credentials.get({ publicKey }));
}

/**
 * @param {object} options what the server asks, as JSON
 * @returns {Promise<object>} the new passkey's public part, as JSON
 */
export async function makePasskey(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return asJson(() => navigator.credentials.create({ publicKey }));
}

const FAILURES = {
  NotAllowedError: "The passkey was not used: it was cancelled, took too long, or there is none for this site.",
  InvalidStateError: "This device has a passkey for your account already.",
  SecurityError: "Passkeys cannot be used at this address.",
};

async function asJson(act) {
  try {
    return (await act()).toJSON();
  } catch (error) {
    throw new VigilError({ code: "passkey_failed", message: FAILURES[error.name] ?? "The passkey could not be used." });
  }
}
