/**
 * Account management: one method for each endpoint of the protocol. When the server requires a step-up, `onStepUp` is
 * called and the request is sent again.
 */
import { asVigilError } from "./vigil-errors.js";

/**
 * @typedef {import("./vigil-types.js").Delivery} Delivery
 * @typedef {import("./vigil-http.js").Method} Method
 *
 * @typedef {{userId: string, email: string, emailVerified: boolean, phoneNumber?: string|null, name: string|null,
 *   username: string|null, roles: string[], createdAt: string, deletionAt?: string|null}} User
 *
 * A second factor or step-up: a code, a password, or a passkey's answer.
 * @typedef {{method: string, code?: string, password?: string, credential?: object}} FactorAnswer
 *
 * @typedef {{enabledAt: string}} Totp
 * @typedef {{totp: Totp|null, recoveryCodes: {left: number}|null, passkeys: number, methods: string[]}} FactorsInUse
 * @typedef {{secret: string, uri: string, qrSvg: string, expiresAt: string}} TotpSetup
 * @typedef {{id: string, name: string, createdAt: string, lastUsedAt: string|null, backedUp: boolean,
 *   transports: string[]}} Passkey
 * @typedef {{id: string, name: string}} Provider
 * @typedef {{id: string, provider: string, label: string|null, linkedAt: string, lastUsedAt: string|null}} Identity
 * The server's public configuration. Lengths are in characters.
 * @typedef {object} Config
 * @property {{minLength: number, maxLength: number}} password
 * @property {{email: number, name: number, deviceName: number}} maxLengths
 * @property {{totpDigits: number, smsDigits: number, recoveryCodes: number}} codes
 * @property {{secondFactor: number, smsCode: number}} tries
 * @property {{verificationLinkMs: number, passwordResetLinkMs: number, emailChangeLinkMs: number,
 *   secondFactorMs: number, smsCodeMs: number, stepUpMs: number, accountDeletionMs: number}} lifetimes
 * @property {{phone: boolean, providers: Provider[]}} loginMethods
 *
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
   * @param {import("./vigil-http.js").Api} options.api
   * @param {import("./vigil-tokens.js").TokenKeeper} options.tokens
   * @param {((refusal: import("./vigil-errors.js").VigilError, what: string) => Promise<boolean>)|undefined} options.onStepUp
   * @param {(user: User) => User} options.onUser called with the user after each change; returns it
   */
  constructor({ api, tokens, onStepUp, onUser }) {
    this.#api = api;
    this.#tokens = tokens;
    this.#onStepUp = onStepUp;
    this.#onUser = onUser;
  }

  // ── without a login ─────────────────────────────────────────────────────────────────────────────

  /** @returns {Promise<Config>} bounds, numbers of tries, lifetimes and login methods of this server */
  config = () => this.#open("GET", "/config");

  /** @param {{email: string, password: string, name?: string, username?: string}} account */
  register = (account) => this.#open("POST", "/register", account);

  /**
   * @param {string} token from the mailed link
   * @param {{password?: string, newPassword?: string}} proof required in any browser but the one that registered
   */
  verifyEmail = (token, proof = {}) => this.#open("POST", "/verify-email", { token, ...proof });

  /** @param {string} email */
  resendVerification = (email) => this.#open("POST", "/resend-verification", { email });

  /** @param {string} email */
  forgotPassword = (email) => this.#open("POST", "/password/forgot", { email });

  /**
   * @param {{token: string, password: string, keepSessions?: boolean}} reset `token` from the mailed link
   * @returns {Promise<{user: User, revoked: number, delivery: Delivery}>}
   */
  resetPassword = (reset) => this.#open("POST", "/password/reset", reset);

  /** Cancels the change of address: its links become invalid. */
  cancelEmailChange = () => this.call("DELETE", "/email/change");

  /**
   * @param {string} token from one of the two mailed links
   * @returns {Promise<{user: User, confirmed: "old"|"new"|"both"}>}
   */
  confirmEmail = (token) => this.#open("POST", "/email/confirm", { token });

  /**
   * The login that a mail is about. Changes nothing.
   * @param {string} token from the mail about a new login
   * @returns {Promise<{device: import("./vigil-types.js").Device, ip: string, loggedInAt: string, live: boolean,
   *   location: import("./vigil-types.js").Session["location"]}>}
   */
  reportedLogin = (token) => this.#open("POST", "/alerts/not-me/login", { token });

  /** @param {string} token from the mail about a new login @returns {Promise<{revoked: number, delivery: Delivery}>} */
  notMe = (token) => this.#open("POST", "/alerts/not-me", { token });

  /** @returns {Promise<Provider[]>} */
  providers = async () => (await this.#open("GET", "/oauth/providers")).providers;

  /** Sends a login code by SMS. @param {string} phoneNumber @returns {Promise<CodeSent>} */
  sendLoginCode = (phoneNumber) => this.#open("POST", "/phone/send-otp", { phoneNumber });

  // ── name, password, address, phone ──────────────────────────────────────────────────────────────

  /** @param {{name?: string, username?: string}} change @returns {Promise<User>} */
  edit = async (change) => this.#onUser((await this.call("PATCH", "/me", change)).user);

  /**
   * @param {{password: string, currentPassword?: string, keepSessions?: boolean}} change `currentPassword`
   *   is left out by an account that has no password yet
   * @returns {Promise<{revoked: number, delivery: Delivery}>}
   */
  changePassword = (change) => this.call("POST", "/password/change", change);

  /** @param {string} email */
  changeEmail = (email) => this.call("POST", "/email/change", { email });

  /** Sends a code to confirm a new number of the account. @param {string} phoneNumber @returns {Promise<CodeSent>} */
  sendPhoneCode = (phoneNumber) => this.call("POST", "/phone/send-otp", { phoneNumber });

  /** @param {PhoneAnswer} answer @returns {Promise<User>} */
  confirmPhone = async (answer) => this.#onUser((await this.call("POST", "/phone/verify-otp", answer)).user);

  /** @returns {Promise<User>} */
  removePhone = async () => this.#onUser((await this.call("DELETE", "/phone")).user);

  // ── factors ─────────────────────────────────────────────────────────────────────────────────────

  /** @returns {Promise<FactorsInUse>} */
  factors = () => this.call("GET", "/2fa");

  /** @returns {Promise<TotpSetup>} */
  setUpTotp = () => this.call("POST", "/2fa/setup", {});

  /** @param {string} code from the app @returns {Promise<string[]>} recovery codes, shown only once */
  enableTotp = async (code) => (await this.call("POST", "/2fa/enable", { code })).recoveryCodes;

  disableTotp = () => this.call("POST", "/2fa/disable", {});

  /** @returns {Promise<string[]>} new recovery codes; the old ones stop working */
  renewRecoveryCodes = async () => (await this.call("POST", "/2fa/recovery-codes", {})).recoveryCodes;

  /** @returns {Promise<boolean>} whether this user's devices can approve logins */
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

  /** @returns {Promise<object>} for `navigator.credentials.get`; pass the result to `stepUp` */
  stepUpOptions = async () => (await this.call("POST", "/webauthn/step-up/options", {})).options;

  // ── linked providers ────────────────────────────────────────────────────────────────────────────

  /** @returns {Promise<Identity[]>} */
  identities = async () => (await this.call("GET", "/me/identities")).identities;

  /** @param {string} provider @returns {Promise<string>} the URL to open in this browser */
  linkUrl = async (provider) => (await this.call("POST", `/oauth/${part(provider)}/link`, {})).url;

  /** @param {string} id of the identity */
  unlink = (id) => this.call("DELETE", `/me/identities/${part(id)}`);

  // ── stored data ─────────────────────────────────────────────────────────────────────────────────

  /** @param {{limit: number, before?: string|null}} page @returns {Promise<{events: any[], next: string|null}>} */
  securityLog = ({ limit, before }) =>
    this.call("GET", `/me/security-log?limit=${limit}${before ? `&before=${part(before)}` : ""}`);

  /** @returns {Promise<object>} */
  export = async () => (await this.call("GET", "/me/export")).export;

  /** "It was me": dismisses the alerts about another session, on every device. @param {string} sessionId */
  dismissAlerts = (sessionId) => this.call("DELETE", `/sessions/${part(sessionId)}/alerts`);

  /**
   * Ends every session now and deletes the account after `lifetimes.accountDeletionMs`.
   * @returns {Promise<{deletedAt: string}>}
   */
  delete = () => this.call("DELETE", "/me");

  /** @returns {Promise<User>} */
  restore = async () => this.#onUser((await this.call("POST", "/me/restore", {})).user);

  // ── requests ────────────────────────────────────────────────────────────────────────────────────

  /** @type {(method: Method, path: string, body?: object) => Promise<any>} see `VigilClient.call` */
  call = (method, path, body) =>
    this.steppingUp(`${method} ${path}`, () => this.authorised(method, path, body));

  /**
   * Runs `act`; when the server requires a step-up, asks for one and runs `act` again.
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
   * Sends an authenticated request. When the server answers that the token expired, renews it and retries once.
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
      this.#tokens.markExpired(token);
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
