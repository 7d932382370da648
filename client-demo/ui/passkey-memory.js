/**
 * Remembers that somebody has logged in with a passkey in this browser, so that the passkey is offered first. Holds no
 * name and no secret.
 */

const KEY = "vigil-passkey-used";

/** A logout clears the storage of the site (`Clear-Site-Data`); the page writes this again. */
let isUsed = read();

/** Writes it again if it was cleared. */
export function hasUsedPasskey() {
  if (isUsed) rememberPasskey();
  return isUsed;
}

export function rememberPasskey() {
  isUsed = true;
  try {
    localStorage.setItem(KEY, "1");
  } catch {
    // Without storage it is remembered until the page is closed.
  }
}

function read() {
  try {
    return localStorage.getItem(KEY) === "1";
  } catch {
    return false;
  }
}
