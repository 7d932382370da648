/** Registration: the form, "check your mail", and requesting another verification link. */
import { asVigilError } from "../vigil-errors.js";
import { BackToLogin } from "./back-to-login.js";
import { errorSentence } from "./error-messages.js";
import { EMAIL, Form, newPassword } from "./forms.js";
import { Component, html } from "./html.js";
import { MailIcon } from "./icons.js";
import { OutboxHint } from "./outbox-hint.js";

export function RegisterScreen({ client, config, email, onScreen }) {
  const fields = [
    { name: "name", label: "Your name", type: "text", autocomplete: "name", optional: true,
      maxLength: config.maxLengths.name, hint: "Shown to others in the chat room." },
    EMAIL,
    newPassword(config, "Password"),
  ];
  const submit = async ({ name, email: address, password }) => {
    const shown = name.trim();
    await client.account.register({ email: address, password, ...(shown && { name: shown }) });
    onScreen("mail", address);
  };
  return html`
    <${Form} testid="register-form" fields=${fields} values=${{ email }}
             submitLabel="Create account" busyLabel="Creating account…" onSubmit=${submit} />
    <p class="login-switch">Already have an account?${" "}
      <button class="link" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>Log in</button>
    </p>`;
}

/** Seconds before the mail can be sent again. */
const RESEND_PAUSE_S = 30;

export class MailScreen extends Component {
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
      this.setState({ pause: RESEND_PAUSE_S, result: "Sent again. Only the latest link works." });
    } catch (error) {
      this.setState({ result: `Not sent. ${errorSentence(asVigilError(error))}` });
    }
  };

  render({ email, onScreen }, { pause, result }) {
    return html`
      <div class="mail" data-testid="check-mail">
        <div class="mail-icon"><${MailIcon} /></div>
        <p>If <strong class="breakable">${email}</strong> can be registered, a link was sent to it.
           Open the link, then log in here.</p>
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

export function ResendScreen({ client, email, onScreen }) {
  const submit = async ({ email: address }) => {
    await client.account.resendVerification(address);
    onScreen("mail", address);
  };
  return html`
    <${Form} testid="resend-form" fields=${[EMAIL]} values=${{ email }}
             submitLabel="Send a new link" busyLabel="Sending…" onSubmit=${submit} />
    <${BackToLogin} onScreen=${onScreen} />`;
}
