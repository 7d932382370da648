/** Password reset: asking for the mailed link, and choosing a new password with it. */
import { BackToLogin } from "./back-to-login.js";
import { isLinkExpired } from "./error-messages.js";
import { plural } from "./format.js";
import { EMAIL, Form, newPassword } from "./forms.js";
import { html } from "./html.js";

const EXPIRED = { tone: "warning", text: "This link has expired or was already used. Request a new one." };

export function ForgotScreen({ client, email, onScreen }) {
  const submit = async ({ email: address }) => {
    await client.account.forgotPassword(address);
    onScreen("mail", address, null, { purpose: "reset" });
  };
  return html`
    <p class="login-lead muted">We will mail you a link to choose a new password.</p>
    <${Form} testid="forgot-form" fields=${[EMAIL]} values=${{ email }} submitLabel="Send the link"
             busyLabel="Sending…" onSubmit=${submit} />
    <${BackToLogin} onScreen=${onScreen} />`;
}

export function ResetScreen({ client, config, token, onScreen }) {
  const submit = async ({ password }) => {
    try {
      const { user, revoked } = await client.account.resetPassword({ token, password });
      const ended = revoked ? ` ${plural(revoked, "device")} logged out.` : "";
      onScreen("login", user.email, { tone: "good", text: `Your password was changed.${ended} Log in with the new one.` });
    } catch (error) {
      if (!isLinkExpired(error)) throw error;
      onScreen("forgot", "", EXPIRED);
    }
  };
  return html`
    <p class="login-lead muted">This logs out all your devices.</p>
    <${Form} testid="reset-form" fields=${[newPassword(config)]} submitLabel="Change the password"
             busyLabel="Changing…" onSubmit=${submit} />
    <${BackToLogin} onScreen=${onScreen} />`;
}
