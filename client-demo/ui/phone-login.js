/** Logging in by a code that comes as an SMS, and the two forms that a number is confirmed by. */
import { VigilError, asVigilError } from "../vigil-rules.js";
import { Form } from "./forms.js";
import { Component, html } from "./html.js";

const NUMBER = {
  name: "phoneNumber", label: "Phone number", type: "tel", autocomplete: "tel", plain: true,
  hint: "With the country's code, such as +31 6 1234 5678.",
};
const OTP = {
  name: "otp", label: "Code", type: "text", autocomplete: "one-time-code", numeric: true, plain: true,
  hint: "The six digits of the SMS. It may take a minute.",
};

/** People write numbers in groups; the server reads E.164. @param {string} number */
const compact = (number) => number.replace(/[\s().-]/g, "");

/** @param {unknown} error @returns {never} */
function explain(error) {
  const { code } = asVigilError(error);
  throw code === "not_found" ? new VigilError({ code, message: "This server cannot send SMS." }) : error;
}

/**
 * First the number, then the code that was sent to it.
 *
 * Properties: `send(phoneNumber)` resolves with the request, `verify({phoneNumber, otp, requestId})`,
 * `submitLabel`, and `onCancel`, if there is one.
 */
export class PhoneForms extends Component {
  state = { phoneNumber: "", requestId: null };

  send = async ({ phoneNumber }) => {
    const number = compact(phoneNumber);
    const { requestId } = await this.props.send(number).catch(explain);
    this.setState({ phoneNumber: number, requestId });
  };

  verify = ({ otp }) => {
    const { phoneNumber, requestId } = this.state;
    return this.props.verify({ phoneNumber, otp: otp.trim(), requestId });
  };

  render({ submitLabel, onCancel }, { phoneNumber, requestId }) {
    if (!requestId) {
      return html`<${Form} key="number" testid="phone-form" fields=${[NUMBER]} values=${{ phoneNumber }} focusFirst
                           submitLabel="Send me a code" busyLabel="Sending…" onSubmit=${this.send}
                           onCancel=${onCancel} />`;
    }
    return html`
      <p class="muted" role="status">If ${phoneNumber} can be used, a code is on its way.</p>
      <${Form} key="code" testid="otp-form" fields=${[OTP]} focusFirst submitLabel=${submitLabel}
               busyLabel="Checking…" onSubmit=${this.verify} onCancel=${onCancel} />
      <p class="entrance-switch"><button class="link" type="button" data-testid="other-number"
         onClick=${() => this.setState({ requestId: null })}>Another number, or send again</button></p>`;
  }
}

/** A screen of the entrance. */
export function PhoneScreen({ client, email, onScreen, onLoggedIn }) {
  const verify = async (answer) => {
    const login = await client.loginWithPhone(answer);
    if (login.mfaRequired) onScreen("second-factor", email, null, { mfa: login });
    else onLoggedIn();
  };
  return html`
    <${PhoneForms} submitLabel="Log in" verify=${verify}
                   send=${client.account.sendLoginCode} />
    <p class="entrance-switch">
      <button class="link" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>
        Back to log in
      </button>
    </p>`;
}
