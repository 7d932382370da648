/** The pages that mailed links lead to, and the one that asks for such a link. */
import { asVigilError } from "../vigil-rules.js";
import { EMAIL, Form, NEW_PASSWORD } from "./forms.js";
import { Component, html } from "./html.js";
import { counted, errorSentence } from "./words.js";

const STALE = { tone: "warning", text: "That link is not good any more. Ask for a new one." };

const isStale = (error) => ["invalid_token", "token_expired"].includes(asVigilError(error).code);

export function ForgotScreen({ client, email, onScreen }) {
  const submit = async ({ email: address }) => {
    await client.account.forgotPassword(address);
    onScreen("login", address, {
      tone: "good", outbox: true, text: "If there is an account with that address, a link is on its way. It is good for 15 minutes.",
    });
  };
  return html`
    <p class="entrance-lead muted">We mail you a link to choose a new one.</p>
    <${Form} testid="forgot-form" fields=${[EMAIL]} values=${{ email }} submitLabel="Send the link"
             busyLabel="Sending…" onSubmit=${submit} />
    <${BackToLogin} onScreen=${onScreen} />`;
}

export function ResetScreen({ client, token, onScreen }) {
  const submit = async ({ password }) => {
    try {
      const { user, revoked } = await client.account.resetPassword({ token, password });
      const ended = revoked ? ` ${counted(revoked, "device")} logged out.` : "";
      onScreen("login", user.email, { tone: "good", text: `Your password is changed.${ended} Log in with it.` });
    } catch (error) {
      if (!isStale(error)) throw error;
      onScreen("forgot", "", STALE);
    }
  };
  return html`
    <p class="entrance-lead muted">Every device that is logged in is logged out.</p>
    <${Form} testid="reset-form" fields=${[NEW_PASSWORD]} submitLabel="Change the password"
             busyLabel="Changing…" onSubmit=${submit} />
    <${BackToLogin} onScreen=${onScreen} />`;
}

const CONFIRMED = {
  both: (email) => `Your address is ${email} from now on.`,
  old: () => "That was one of two. Now follow the link in the mail to your new address.",
  new: () => "That was one of two. Now follow the link in the mail to your old address.",
};

/** Asks before it acts: what merely fetches the links of a mail changes nothing. */
export function ConfirmEmailScreen({ client, token, onScreen }) {
  const confirm = async () => {
    const { user, confirmed } = await client.account.confirmEmail(token);
    onScreen("login", "", { tone: confirmed === "both" ? "good" : "info", text: CONFIRMED[confirmed](user.email) });
  };
  return html`
    <p class="entrance-lead">Both of your mailboxes have to agree that the address of your account changes.</p>
    <${Act} label="Yes, change the address" testid="confirm-email" act=${confirm} onScreen=${onScreen} />`;
}

export function NotMeScreen({ client, token, onScreen }) {
  const end = async () => {
    const { revoked } = await client.account.notMe(token);
    const text = revoked ? "That device is logged out." : "That device is not logged in any more.";
    onScreen("forgot", "", { tone: "good", text: `${text} Now change your password: somebody else may know it.` });
  };
  return html`
    <p class="entrance-lead">We told you of a login to your account. If it was not you, it can be ended here.</p>
    <${Act} label="It was not me: end it" testid="not-me-confirm" danger act=${end} onScreen=${onScreen}
            back="It was me" />`;
}

class Act extends Component {
  state = { busy: false, problem: "" };

  act = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    try {
      await this.props.act();
    } catch (error) {
      const problem = isStale(error) ? "That link is not good any more." : errorSentence(asVigilError(error));
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

export function BackToLogin({ onScreen, label = "Back to log in" }) {
  return html`
    <p class="entrance-switch">
      <button class="link" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>${label}</button>
    </p>`;
}
