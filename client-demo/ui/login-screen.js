/** The login form: e-mail address and password, and the other login methods. */
import { AlternativeLogins, PasskeyButton } from "./alternative-logins.js";
import { passkeyErrorSentence } from "./error-messages.js";
import { EMAIL, Form } from "./forms.js";
import { Component, html } from "./html.js";
import { hasUsedPasskey, rememberPasskey } from "./passkey-memory.js";
import { getPasskey, offerPasskey, supportsPasskeys } from "./webauthn.js";

/** Browsers that can, offer passkeys in the suggestions of the first field. */
const ADDRESS = { ...EMAIL, autocomplete: "username webauthn" };

export class LoginScreen extends Component {
  state = { busy: false, problem: "" };
  #passkeyFirst = supportsPasskeys() && hasUsedPasskey();
  /** Typed so far, for the screens that ask for it too. */
  #email = this.props.email;
  /** @type {AbortController|null} */
  #suggestion = null;

  componentDidMount() {
    this.suggestPasskey();
  }

  componentWillUnmount() {
    this.#suggestion?.abort();
  }

  proceed = (answer, email = this.#email) => {
    const { onScreen, onLoggedIn } = this.props;
    if (answer.mfaRequired) onScreen("second-factor", email, null, { mfa: answer });
    else onLoggedIn();
  };

  submit = async (credentials) => this.proceed(await this.props.client.login(credentials), credentials.email);

  /** Waits for a passkey chosen among the field's suggestions. A failure to offer one is none of the user's business. */
  async suggestPasskey() {
    if (!supportsPasskeys()) return;
    const { client } = this.props;
    const { signal } = this.#suggestion = new AbortController();
    const credential = await offerPasskey(() => client.passkeyLoginOptions(), signal).catch(() => null);
    if (credential && !signal.aborted) await this.usePasskey(async () => credential);
  }

  usePasskey = async (ask = this.askForPasskey) => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    // Browsers serve one request at a time.
    this.#suggestion?.abort();
    try {
      const answer = await this.props.client.loginWithPasskey(await ask());
      rememberPasskey();
      this.proceed(answer);
    } catch (error) {
      this.setState({ problem: passkeyErrorSentence(error), busy: false });
      this.suggestPasskey();
    }
  };

  askForPasskey = async () => getPasskey(await this.props.client.passkeyLoginOptions());

  explain = ({ code }, sent) => code === "email_not_verified" && html`
    <button class="link" type="button" data-testid="to-resend" onClick=${() => this.props.onScreen("resend", sent.email)}>
      Send me the link again
    </button>`;

  render({ config, onScreen }, { busy, problem }) {
    const to = (screen) => () => onScreen(screen, this.#email);
    const passkeyFirst = this.#passkeyFirst;
    const passkey = html`
      <${PasskeyButton} primary=${passkeyFirst} busy=${busy} problem=${problem} onUse=${() => this.usePasskey()} />`;
    const password = {
      name: "password", label: "Password", type: "password", autocomplete: "current-password",
      after: html`<button class="link" type="button" data-testid="to-forgot" onClick=${to("forgot")}>Forgot your password?</button>`,
    };
    return html`
      <p class="login-lead">New here?${" "}
        <button class="link" type="button" data-testid="to-register" onClick=${to("register")}>Create an account</button>
      </p>
      ${passkeyFirst && html`${passkey}<p class="or muted"><span>or</span></p>`}
      <${Form} testid="login-form" fields=${[ADDRESS, password]} values=${{ email: this.props.email }}
               explain=${this.explain} submitLabel="Log in" busyLabel="Logging in…" quiet=${passkeyFirst}
               onSubmit=${this.submit} onInput=${({ email }) => { this.#email = email; }} />
      <${AlternativeLogins} config=${config} passkey=${passkeyFirst ? null : passkey} onPhone=${to("phone")} />`;
  }
}
