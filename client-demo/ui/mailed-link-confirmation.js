/** Screens of mailed links that require a confirmation: change of e-mail address, and "it wasn't me". */
import { asVigilError } from "../vigil-errors.js";
import { BackToLogin } from "./back-to-login.js";
import { deviceSoftware, placeName } from "./device-names.js";
import { errorSentence, isLinkExpired } from "./error-messages.js";
import { longTime } from "./format.js";
import { Component, html } from "./html.js";

const STALE = "This link has expired or was already used.";
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

/** Names the login before it asks. The question can be answered before, and without, that answer of the server. */
export class NotMeScreen extends Component {
  state = { login: null, isStale: false };

  async componentDidMount() {
    const { client, token } = this.props;
    try {
      this.setState({ login: await client.account.reportedLogin(token) });
    } catch (error) {
      this.setState({ isStale: isLinkExpired(error) });
    }
  }

  end = async () => {
    const { client, token, onScreen } = this.props;
    const { revoked } = await client.account.notMe(token);
    const text = revoked ? "That device is logged out." : "That device was already logged out.";
    onScreen("forgot", "", { tone: "good", text: `${text} Now choose a new password: someone else may know yours.` });
  };

  render({ onScreen }, { login, isStale }) {
    if (isStale) {
      return html`
        <p class="login-lead" role="status" data-testid="not-me-stale">${STALE}</p>
        <p class="login-lead">If you do not recognise a login, choose a new password. This logs out all your devices.</p>
        <button class="button primary wide" type="button" data-testid="to-forgot" onClick=${() => onScreen("forgot")}>
          Choose a new password</button>
        <${BackToLogin} onScreen=${onScreen} />`;
    }
    return html`
      <p class="login-lead">We mailed you about a login to your account. If it wasn’t you, log that device out here.</p>
      ${login && html`<${LoginFacts} ...${login} />`}
      <${ConfirmAction} label="It wasn’t me: log it out" testid="not-me-confirm" danger act=${this.end}
                        onScreen=${onScreen} back="It was me" />`;
  }
}

function LoginFacts({ loggedInAt, live, ...login }) {
  const where = [placeName(login), login.ip].filter(Boolean).join(" · ");
  return html`
    <dl class="facts" data-testid="not-me-login">
      <dt>Device</dt><dd>${deviceSoftware(login) || "Unknown"}</dd>
      <dt>From</dt><dd>${where}</dd>
      <dt>Time</dt><dd><time dateTime=${loggedInAt}>${longTime(loggedInAt)}</time></dd>
      ${!live && html`<dt>Now</dt><dd>Logged out</dd>`}
    </dl>`;
}

class ConfirmAction extends Component {
  state = { busy: false, problem: "" };

  act = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    try {
      await this.props.act();
    } catch (error) {
      const problem = isLinkExpired(error) ? STALE : errorSentence(asVigilError(error));
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
