/** The way in: log in, create an account, the mail with its link. */
import { asVigilError } from "../vigil-rules.js";
import { Component, createRef, html } from "./html.js";
import { EMAIL, Form } from "./forms.js";
import { EyeMark, MailIcon } from "./icons.js";
import { ConfirmEmailScreen, ForgotScreen, NotMeScreen, ResetScreen } from "./mailed-links.js";
import { OutboxHint } from "./outbox-hint.js";
import { OtherWays } from "./other-ways.js";
import { PhoneScreen } from "./phone-login.js";
import { SecondFactorScreen } from "./second-factor.js";
import { errorSentence } from "./words.js";

const LOGIN_FIELDS = [
  EMAIL,
  { name: "password", label: "Password", type: "password", autocomplete: "current-password" },
  { name: "deviceName", label: "Name of this device", type: "text", autocomplete: "off", optional: true,
    hint: "What your other devices call it." },
];
const REGISTER_FIELDS = [
  { name: "name", label: "Your name", type: "text", autocomplete: "name", optional: true,
    hint: "What others in the room see." },
  EMAIL,
  { name: "password", label: "Password", type: "password", autocomplete: "new-password",
    hint: "At least 8 characters. A few words in a row are better than one with signs." },
];

/**
 * Properties: `screen` (a name in `SCREENS`), `email`, `notice`, `client`, `onScreen(screen, email, notice, more)`,
 * `onLoggedIn()`; `token` of the mailed link for the screens of such, `mfa` for a login that waits.
 */
export class Entrance extends Component {
  #heading = createRef();

  componentDidUpdate({ screen }) {
    // A form that is there to be typed into at once has taken the focus already.
    const heading = this.#heading.current;
    if (screen !== this.props.screen && !heading.parentElement.contains(document.activeElement)) heading.focus();
  }

  render({ screen, ...props }) {
    const [title, Screen] = SCREENS[screen];
    return html`
      <div class="entrance">
        <header class="entrance-brand"><${EyeMark} /><span class="brand-name">Vigil</span></header>
        <main class="card entrance-card">
          <h1 tabindex="-1" ref=${this.#heading}>${title}</h1>
          <${Notice} ...${props.notice} />
          <${Screen} ...${props} />
        </main>
        <footer class="entrance-foot muted">
          Log in once and stay connected. See every device, end any of them, live.
        </footer>
      </div>`;
  }
}

function Notice({ tone = "info", text, outbox }) {
  return html`<div class="notice-place" role="status">
    ${text && html`<p class=${`notice is-${tone}`} data-testid="notice">${text}</p>`}
    ${outbox && html`<${OutboxHint} />`}
  </div>`;
}

class LoginScreen extends Component {
  /** Every way in names the device, whichever form it was typed into. */
  named = {};

  remember = ({ deviceName }) => {
    const name = deviceName.trim();
    this.named = name ? { deviceName: name } : {};
  };

  render({ client, email, onScreen, onLoggedIn }) {
    const goOn = (answer, address) => {
      if (answer.mfaRequired) onScreen("second-factor", address, null, { mfa: answer });
      else onLoggedIn();
    };
    const submit = async ({ deviceName, ...credentials }) => {
      this.remember({ deviceName });
      goOn(await client.login({ ...credentials, ...this.named }), credentials.email);
    };
    const explain = ({ code }, sent) => code === "email_not_verified" && html`
      <button class="link" type="button" data-testid="to-resend" onClick=${() => onScreen("resend", sent.email)}>
        Send me the link again
      </button>`;
    return html`
      <${Form} testid="login-form" fields=${LOGIN_FIELDS} values=${{ email }} explain=${explain}
               submitLabel="Log in" busyLabel="Logging in…" onSubmit=${submit} onInput=${this.remember} />
      <p class="entrance-forgot">
        <button class="link" type="button" data-testid="to-forgot" onClick=${() => onScreen("forgot")}>
          Forgot your password?
        </button>
      </p>
      <${OtherWays} client=${client} named=${() => this.named} onAnswer=${(answer) => goOn(answer, email)}
                    onPhone=${() => onScreen("phone", email, null, this.named)} />
      <p class="entrance-switch">New here?${" "}
        <button class="link" type="button" data-testid="to-register" onClick=${() => onScreen("register")}>
          Create an account
        </button>
      </p>`;
  }
}

function RegisterScreen({ client, email, onScreen }) {
  const submit = async ({ name, email: address, password }) => {
    const shown = name.trim();
    await client.account.register({ email: address, password, ...(shown && { name: shown }) });
    onScreen("mail", address);
  };
  return html`
    <${Form} testid="register-form" fields=${REGISTER_FIELDS} values=${{ email }}
             submitLabel="Create account" busyLabel="Creating account…" onSubmit=${submit} />
    <p class="entrance-switch">Already have an account?${" "}
      <button class="link" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>Log in</button>
    </p>`;
}

const RESEND_PAUSE_S = 30;

class MailScreen extends Component {
  state = { pause: RESEND_PAUSE_S, result: "" };

  componentDidMount() {
    this.timer = setInterval(() => this.setState(({ pause }) => ({ pause: Math.max(pause - 1, 0) })), 1000);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  resend = async () => {
    if (this.state.pause) return;
    try {
      await this.props.client.account.resendVerification(this.props.email);
      this.setState({ pause: RESEND_PAUSE_S, result: "Sent again. Only the newest link works." });
    } catch (error) {
      this.setState({ result: `Not sent. ${errorSentence(asVigilError(error))}` });
    }
  };

  render({ email, onScreen }, { pause, result }) {
    return html`
      <div class="mail" data-testid="check-mail">
        <div class="mail-icon"><${MailIcon} /></div>
        <p>If <strong class="breakable">${email}</strong> can be registered, a link is on its way.
           Open it, then log in here.</p>
        <${OutboxHint} />
        <button class="button primary wide" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>
          Go to log in
        </button>
        <button class="button wide tabular" type="button" data-testid="resend" aria-disabled=${pause > 0}
                onClick=${this.resend}>${pause ? `Send again in ${pause} s` : "Send again"}</button>
        <p class="field-note" role="status" data-testid="resend-result">${result}</p>
      </div>`;
  }
}

function ResendScreen({ client, email, onScreen }) {
  const submit = async ({ email: address }) => {
    await client.account.resendVerification(address);
    onScreen("mail", address);
  };
  return html`
    <${Form} testid="resend-form" fields=${[EMAIL]} values=${{ email }}
             submitLabel="Send a new link" busyLabel="Sending…" onSubmit=${submit} />
    <p class="entrance-switch">
      <button class="link" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>
        Back to log in
      </button>
    </p>`;
}

const SCREENS = {
  login: ["Log in", LoginScreen],
  register: ["Create your account", RegisterScreen],
  mail: ["Check your mail", MailScreen],
  resend: ["Confirm your e-mail address", ResendScreen],
  "second-factor": ["One more step", SecondFactorScreen],
  phone: ["Log in with your phone", PhoneScreen],
  forgot: ["Forgot your password?", ForgotScreen],
  reset: ["Choose a new password", ResetScreen],
  "confirm-email": ["Change your e-mail address", ConfirmEmailScreen],
  "not-me": ["Was this you?", NotMeScreen],
};
