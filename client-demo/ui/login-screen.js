/** The login form: e-mail address and password, and the other login methods below it. */
import { AlternativeLogins } from "./alternative-logins.js";
import { EMAIL, Form } from "./forms.js";
import { Component, html } from "./html.js";

const LOGIN_FIELDS = [
  EMAIL,
  { name: "password", label: "Password", type: "password", autocomplete: "current-password" },
  { name: "deviceName", label: "Name of this device", type: "text", autocomplete: "off", optional: true,
    hint: "Shown on your other devices." },
];

export class LoginScreen extends Component {
  /** The device name typed here applies to every login method. */
  device = {};

  remember = ({ deviceName }) => {
    const name = deviceName.trim();
    this.device = name ? { deviceName: name } : {};
  };

  render({ client, config, email, onScreen, onLoggedIn }) {
    const proceed = (answer, address) => {
      if (answer.mfaRequired) onScreen("second-factor", address, null, { mfa: answer });
      else onLoggedIn();
    };
    const submit = async ({ deviceName, ...credentials }) => {
      this.remember({ deviceName });
      proceed(await client.login({ ...credentials, ...this.device }), credentials.email);
    };
    const explain = ({ code }, sent) => code === "email_not_verified" && html`
      <button class="link" type="button" data-testid="to-resend" onClick=${() => onScreen("resend", sent.email)}>
        Send me the link again
      </button>`;
    return html`
      <${Form} testid="login-form" fields=${LOGIN_FIELDS} values=${{ email }} explain=${explain}
               submitLabel="Log in" busyLabel="Logging in…" onSubmit=${submit} onInput=${this.remember} />
      <p class="login-forgot">
        <button class="link" type="button" data-testid="to-forgot" onClick=${() => onScreen("forgot")}>
          Forgot your password?
        </button>
      </p>
      <${AlternativeLogins} client=${client} config=${config} device=${() => this.device}
                           onAnswer=${(answer) => proceed(answer, email)}
                           onPhone=${() => onScreen("phone", email, null, this.device)} />
      <p class="login-switch">New here?${" "}
        <button class="link" type="button" data-testid="to-register" onClick=${() => onScreen("register")}>
          Create an account
        </button>
      </p>`;
  }
}
