/** Screens of mailed links that require a confirmation: change of e-mail address, and "it wasn't me". */
import { asVigilError } from "../vigil-errors.js";
import { BackToLogin } from "./back-to-login.js";
import { errorSentence, isLinkExpired } from "./error-messages.js";
import { Component, html } from "./html.js";

const CONFIRMED = {
  both: (email) => `Your address is now ${email}.`,
  old: () => "One address confirmed, one to go: open the link in the mail to your new address.",
  new: () => "One address confirmed, one to go: open the link in the mail to your old address.",
};

/** Requires a click: mail scanners that open links must not change anything. */
export function ConfirmEmailScreen({ client, token, onScreen }) {
  const confirm = async () => {
    const { user, confirmed } = await client.account.confirmEmail(token);
    onScreen("login", "", { tone: confirmed === "both" ? "good" : "info", text: CONFIRMED[confirmed](user.email) });
  };
  return html`
    <p class="login-lead">To change the address of your account, confirm it from both your old and your new mailbox.</p>
    <${ConfirmAction} label="Yes, change the address" testid="confirm-email" act=${confirm} onScreen=${onScreen} />`;
}

export function NotMeScreen({ client, token, onScreen }) {
  const end = async () => {
    const { revoked } = await client.account.notMe(token);
    const text = revoked ? "That device is logged out." : "That device was already logged out.";
    onScreen("forgot", "", { tone: "good", text: `${text} Now change your password: someone else may know it.` });
  };
  return html`
    <p class="login-lead">We mailed you about a login to your account. If it wasn’t you, log that device out here.</p>
    <${ConfirmAction} label="It wasn’t me: log it out" testid="not-me-confirm" danger act=${end} onScreen=${onScreen}
                      back="It was me" />`;
}

class ConfirmAction extends Component {
  state = { busy: false, problem: "" };

  act = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    try {
      await this.props.act();
    } catch (error) {
      const problem = isLinkExpired(error) ? "This link has expired or was already used." : errorSentence(asVigilError(error));
      this.setState({ busy: false, problem });
    }
  };

  render({ label, testid, danger, onScreen, back }, { busy, problem }) {
    return html`
      <div class="form-problem" role="alert" data-testid="form-error">${problem}</div>
      <button class=${`button wide ${danger ? "danger solid" : "primary"}`} type="button" data-testid=${testid}
              aria-disabled=${busy} onClick=${this.act}>${label}</button>
      <${BackToLogin} onScreen=${onScreen} label=${back} />`;
  }
}
