/**
 * The account: what somebody does about how they get in, and about what is kept of them. Each method is one endpoint
 * of the protocol, under the name of what is done. Where the server wants a proof first, the person is asked for it.
 */
import { asVigilError } from "./vigil-rules.js";

/**
 * @typedef {import("./vigil-rules.js").Delivery} Delivery
 * @typedef {import("./vigil-tokens.js").Method} Method
 *
 * @typedef {{userId: string, email: string, emailVerified: boolean, phoneNumber?: string|null, name: string|null,
 *   username: string|null, roles: string[], createdAt: string, deletionAt?: string|null}} User
 *
 * How somebody proves that it is them: a code, a password, or a passkey's answer.
 * @typedef {{method: string, code?: string, password?: string, credential?: object}} FactorAnswer
 *
 * @typedef {{enabledAt: string}} Totp
 * @typedef {{totp: Totp|null, recoveryCodes: {left: number}|null, passkeys: number, methods: string[]}} FactorsInUse
 * @typedef {{secret: string, uri: string, qrSvg: string, expiresAt: string}} TotpSetup
 * @typedef {{id: string, name: string, createdAt: string, lastUsedAt: string|null, backedUp: boolean,
 *   transports: string[]}} Passkey
 * @typedef {{id: string, name: string}} Provider
 * @typedef {{id: string, provider: string, label: string|null, linkedAt: string, lastUsedAt: string|null}} Identity
 * @typedef {{requestId: string, expiresAt: string, resendAfterMs: number}} CodeSent
 * @typedef {{phoneNumber: string, otp: string, requestId?: string}} PhoneAnswer
 */

const part = encodeURIComponent;

export class Account {
  #api;
  #tokens;
  #onStepUp;
  #onUser;

  /**
   * @param {object} options
   * @param {import("./vigil-tokens.js").Api} options.api
   * @param {import("./vigil-tokens.js").TokenKeeper} options.tokens
   * @param {((refusal: import("./vigil-rules.js").VigilError, what: string) => Promise<boolean>)|undefined} options.onStepUp
   * @param {(user: User) => User} options.onUser told what this user is after each change of it
   */
  constructor({ api, tokens, onStepUp, onUser }) {
    this.#api = api;
    this.#tokens = tokens;
    this.#onStepUp = onStepUp;
    this.#onUser = onUser;
  }

  // ── before there is a login ───────────────────────────────────────────────────────────────────

  /** @param {{email: string, password: string, name?: string, username?: string}} account */
  register = (account) => this.#open("POST", "/register", account);

  /** @param {string} token from the mailed link */
  verifyEmail = (token) => this.#open("POST", "/verify-email", { token });

  /** @param {string} email */
  resendVerification = (email) => this.#open("POST", "/resend-verification", { email });

  /** @param {string} email */
  forgotPassword = (email) => this.#open("POST", "/password/forgot", { email });

  /**
   * @param {{token: string, password: string, keepSessions?: boolean}} reset `token` from the mailed link
   * @returns {Promise<{user: User, revoked: number, delivery: Delivery}>}
   */
  resetPassword = (reset) => this.#open("POST", "/password/reset", reset);

  /**
   * @param {string} token from one of the two mailed links
   * @returns {Promise<{user: User, confirmed: "old"|"new"|"both"}>}
   */
  confirmEmail = (token) => this.#open("POST", "/email/confirm", { token });

  /** @param {string} token from the mail of an alert @returns {Promise<{revoked: number, delivery: Delivery}>} */
  notMe = (token) => this.#open("POST", "/alerts/not-me", { token });

  /** @returns {Promise<Provider[]>} */
  providers = async () => (await this.#open("GET", "/oauth/providers")).providers;

  /** @param {string} phoneNumber of somebody who wants to log in @returns {Promise<CodeSent>} */
  sendLoginCode = (phoneNumber) => this.#open("POST", "/phone/send-otp", { phoneNumber });

  // ── name, password, address, phone ────────────────────────────────────────────────────────────

  /** @param {{name?: string, username?: string}} change @returns {Promise<User>} */
  edit = async (change) => this.#onUser((await this.call("PATCH", "/me", change)).user);

  /**
   * @param {{password: string, currentPassword?: string, keepSessions?: boolean}} change without `currentPassword`
   *   the first password of an account that has none
   * @returns {Promise<{revoked: number, delivery: Delivery}>}
   */
  changePassword = (change) => this.call("POST", "/password/change", change);

  /** @param {string} email */
  changeEmail = (email) => this.call("POST", "/email/change", { email });

  /** @param {string} phoneNumber to be the account's @returns {Promise<CodeSent>} */
  sendPhoneCode = (phoneNumber) => this.call("POST", "/phone/send-otp", { phoneNumber });

  /** @param {PhoneAnswer} answer @returns {Promise<User>} */
  confirmPhone = async (answer) => this.#onUser((await this.call("POST", "/phone/verify-otp", answer)).user);

  /** @returns {Promise<User>} */
  removePhone = async () => this.#onUser((await this.call("DELETE", "/phone")).user);

  // ── factors ───────────────────────────────────────────────────────────────────────────────────

  /** @returns {Promise<FactorsInUse>} */
  factors = () => this.call("GET", "/2fa");

  /** @returns {Promise<TotpSetup>} */
  setUpTotp = () => this.call("POST", "/2fa/setup", {});

  /** @param {string} code the app's first @returns {Promise<string[]>} recovery codes, shown this once */
  enableTotp = async (code) => (await this.call("POST", "/2fa/enable", { code })).recoveryCodes;

  disableTotp = () => this.call("POST", "/2fa/disable", {});

  /** @returns {Promise<string[]>} the new ones; the old are void */
  renewRecoveryCodes = async () => (await this.call("POST", "/2fa/recovery-codes", {})).recoveryCodes;

  /** @returns {Promise<boolean>} whether this user's devices may let a new one in */
  approvals = async () => (await this.call("GET", "/approvals")).enabled;

  /** @param {boolean} enabled */
  allowApprovals = (enabled) => this.call("PUT", "/approvals", { enabled });

  /** @returns {Promise<Passkey[]>} */
  passkeys = async () => (await this.call("GET", "/webauthn/passkeys")).passkeys;

  /** @returns {Promise<object>} for `navigator.credentials.create` */
  newPasskeyOptions = async () => (await this.call("POST", "/webauthn/register/options", {})).options;

  /** @param {{credential: object, name?: string}} made @returns {Promise<Passkey>} */
  addPasskey = async (made) => (await this.call("POST", "/webauthn/register/verify", made)).passkey;

  /** @param {string} id @param {string} name @returns {Promise<Passkey>} */
  renamePasskey = async (id, name) => (await this.call("PATCH", `/webauthn/passkeys/${part(id)}`, { name })).passkey;

  /** @param {string} id */
  removePasskey = (id) => this.call("DELETE", `/webauthn/passkeys/${part(id)}`);

  /** @returns {Promise<object>} for `navigator.credentials.get`: a proof by `stepUp` */
  stepUpOptions = async () => (await this.call("POST", "/webauthn/step-up/options", {})).options;

  // ── logins elsewhere ──────────────────────────────────────────────────────────────────────────

  /** @returns {Promise<Identity[]>} */
  identities = async () => (await this.call("GET", "/me/identities")).identities;

  /** @param {string} provider @returns {Promise<string>} where to send this very browser */
  linkUrl = async (provider) => (await this.call("POST", `/oauth/${part(provider)}/link`, {})).url;

  /** @param {string} id of the identity */
  unlink = (id) => this.call("DELETE", `/me/identities/${part(id)}`);

  // ── what is kept ──────────────────────────────────────────────────────────────────────────────

  /** @param {{limit: number, before?: string|null}} page @returns {Promise<{events: any[], next: string|null}>} */
  securityLog = ({ limit, before }) =>
    this.call("GET", `/me/security-log?limit=${limit}${before ? `&before=${part(before)}` : ""}`);

  /** @returns {Promise<object>} */
  export = async () => (await this.call("GET", "/me/export")).export;

  /** Ends every session now, and the account after fourteen days. @returns {Promise<{deletedAt: string}>} */
  delete = () => this.call("DELETE", "/me");

  /** @returns {Promise<User>} */
  restore = async () => this.#onUser((await this.call("POST", "/me/restore", {})).user);

  // ── how it is asked ───────────────────────────────────────────────────────────────────────────

  /** @type {(method: Method, path: string, body?: object) => Promise<any>} see `VigilClient.call` */
  call = (method, path, body) => 
    this.steppingUp(`${method} ${path}`, () => this.authorised(method, path, body));

  /**
   * Does what may want a proof, and does it again once that was given.
   * @template T
   * @param {string} what the event, or the method and path
   * @param {() => Promise<T>} act
   * @returns {Promise<T>}
   */
  async steppingUp(what, act) {
    try {
      return await act();
    } catch (error) {
      const refusal = asVigilError(error);
      if (refusal.code !== "step_up_required" || !(await this.#onStepUp?.(refusal, what))) throw error;
      return act();
    }
  }

  /**
   * Asks as this user, with a token that is good; once more with another when the server finds it was not.
   * @param {Method} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async authorised(method, path, body) {
    const token = await this.#tokens.usable();
    const send = (/** @type {string|null} */ accessToken) => this.#api.request(method, path, { body, accessToken });
    try {
      return await send(token.accessToken);
    } catch (error) {
      if (asVigilError(error).code !== "token_expired") throw error;
      this.#tokens.distrust(token);
      return send((await this.#tokens.usable()).accessToken);
    }
  }

  /**
   * @param {Method} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  #open(method, path, body) {
    return this.#api.request(method, path, { body });
  }
}
