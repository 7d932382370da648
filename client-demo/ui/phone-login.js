/** Login with a code sent by SMS, and the two forms that confirm a phone number. */
import { VigilError, asVigilError } from "../vigil-errors.js";
import { BackToLogin } from "./back-to-login.js";
import { errorSentence } from "./error-messages.js";
import { Form } from "./forms.js";
import { Component, html } from "./html.js";
import { OutboxHint } from "./outbox-hint.js";

const NUMBER = {
  name: "phoneNumber", label: "Phone number", type: "tel", autocomplete: "tel", plain: true,
  hint: "With the country code, such as +31 6 1234 5678.",
};

/** @param {import("./server-config.js").Config} config */
const otpField = ({ codes: { smsDigits } }) => ({
  name: "otp", label: "Code", type: "text", autocomplete: "one-time-code", numeric: true, plain: true,
  hint: `The ${smsDigits ? `${smsDigits}-digit ` : ""}code from the SMS. It may take a minute to arrive.`,
});

/** Removes the separators that people type: the server expects E.164. @param {string} number */
const compact = (number) => number.replace(/[\s().-]/g, "");

/** @param {unknown} error @returns {never} */
function explain(error) {
  const { code } = asVigilError(error);
  throw code === "not_found" ? new VigilError({ code, message: "This server cannot send SMS." }) : error;
}

/**
 * First the number, then the code sent to it.
 *
 * Properties: `client`, `config`, `send(phoneNumber)` resolves with the request, `verify({phoneNumber, otp, requestId})`,
 * `submitLabel`, `isOwn` when a code is certain to be sent, and an optional `onCancel`.
 */
export class PhoneForms extends Component {
  state = { phoneNumber: "", request: null, isEditing: false, pause: 0, result: "" };

  componentDidMount() {
    this.timer = setInterval(() => this.setState(({ pause }) => ({ pause: Math.max(pause - 1, 0) })), 1000);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  send = async ({ phoneNumber }) => {
    const number = compact(phoneNumber);
    const request = await this.props.send(number).catch(explain);
    const pause = Math.ceil(request.resendAfterMs / 1000);
    this.setState({ phoneNumber: number, request, isEditing: false, pause, result: "" });
  };

  again = async () => {
    if (this.state.pause) return;
    try {
      await this.send(this.state);
      this.setState({ result: "Sent again. Only the latest code works." });
    } catch (error) {
      this.setState({ result: `Not sent. ${errorSentence(asVigilError(error))}` });
    }
  };

  verify = async ({ otp }) => {
    const { phoneNumber, request } = this.state;
    try {
      await this.props.verify({ phoneNumber, otp: otp.trim(), requestId: request.requestId });
    } catch (error) {
      const { code } = asVigilError(error);
      if (code !== "invalid_code") throw error;
      const isOver = Date.parse(request.expiresAt) <= this.props.client.serverNow();
      const message = isOver ? "This code has expired. Request a new one."
        : "This code is wrong. Only the latest code works, and only once.";
      throw new VigilError({ code, message });
    }
  };

  render({ config, submitLabel, isOwn, onCancel }, { phoneNumber, request, isEditing, pause, result }) {
    if (!request || isEditing) {
      return html`
        <${Form} key="number" testid="phone-form" fields=${[NUMBER]} values=${{ phoneNumber }} focusFirst
                 submitLabel="Send me a code" busyLabel="Sending…" onSubmit=${this.send} onCancel=${onCancel} />
        ${request && html`
          <p class="login-switch"><button class="link" type="button" data-testid="back-to-code"
             onClick=${() => this.setState({ isEditing: false })}>Back to the code for ${phoneNumber}</button></p>`}`;
    }
    return html`
      <p class="login-lead muted" role="status">
        ${isOwn ? "A code was sent to " : "If this number belongs to an account, a code was sent to "}
        <strong>${phoneNumber}</strong>.</p>
      <${OutboxHint} />
      <${Form} key="code" testid="otp-form" fields=${[otpField(config)]} focusFirst submitLabel=${submitLabel}
               busyLabel="Checking…" onSubmit=${this.verify} onCancel=${onCancel} />
      <button class="button wide tabular" type="button" data-testid="resend" aria-disabled=${pause > 0}
              onClick=${this.again}>${pause ? `Send again in ${pause} s` : "Send again"}</button>
      <p class="field-note" role="status" data-testid="resend-result">${result}</p>
      <p class="login-switch"><button class="link" type="button" data-testid="other-number"
         onClick=${() => this.setState({ isEditing: true })}>Another number</button></p>`;
  }
}

/** The screen of the login view. */
export function PhoneScreen({ client, config, email, onScreen, onLoggedIn }) {
  const verify = async (answer) => {
    const login = await client.loginWithPhone(answer);
    if (login.mfaRequired) onScreen("second-factor", email, null, { mfa: login });
    else onLoggedIn();
  };
  return html`
    <${PhoneForms} client=${client} config=${config} submitLabel="Log in" verify=${verify}
                   send=${client.account.sendLoginCode} />
    <${BackToLogin} onScreen=${onScreen} />`;
}
