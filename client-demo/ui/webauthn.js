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
 * Offers passkeys among the suggestions of a field with the token `webauthn` in its `autocomplete`, until one is chosen
 * or `signal` aborts.
 * @param {() => Promise<any>} newOptions from the server, as JSON; called again when they expire
 * @param {AbortSignal} signal
 * @returns {Promise<object|null>} the passkey's answer, as JSON; null if this browser offers none in this way
 */
export async function offerPasskey(newOptions, signal) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return null;
  for (;;) {
    const options = await newOptions();
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const round = new AbortController();
    const end = () => round.abort();
    signal.addEventListener("abort", end);
    const timer = setTimeout(end, options.timeout);
    try {
      if (signal.aborted) return null;
      return (await navigator.credentials.get({ publicKey, mediation: "conditional", signal: round.signal })).toJSON();
    } catch (error) {
      if (signal.aborted || error.name !== "AbortError") throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    }
  }
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
