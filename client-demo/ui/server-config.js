/** The server's public configuration (`GET /config`), read once when the page starts. */
import { asVigilError } from "../vigil-errors.js";
import { retryDelay, sleep } from "../vigil-reconnect.js";

/** @typedef {import("../vigil-account.js").Config} Config */

/**
 * Used until the server has answered. No value is known, so the page validates nothing, its texts omit the values, and
 * it offers only the login methods of every server.
 */
export const UNKNOWN_CONFIG = Object.freeze({
  password: {}, maxLengths: {}, codes: {}, tries: {}, lifetimes: {}, loginMethods: { phone: false, providers: [] },
});

/**
 * Retries with back-off while the server cannot be reached.
 * @param {import("../vigil-client.js").VigilClient} client
 * @returns {Promise<Config|typeof UNKNOWN_CONFIG>}
 */
export async function readServerConfig(client) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await client.account.config();
    } catch (error) {
      const { retryable, retryAfterMs } = asVigilError(error);
      if (!retryable) return UNKNOWN_CONFIG;
      await sleep(retryDelay(attempt, retryAfterMs));
    }
  }
}
