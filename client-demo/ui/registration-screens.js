/** Registration: the form, and requesting another verification link. */
import { BackToLogin } from "./back-to-login.js";
import { EMAIL, Form, newPassword } from "./forms.js";
import { html } from "./html.js";

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
    onScreen("mail", address, null, { purpose: "registration" });
  };
  return html`
    <${Form} testid="register-form" fields=${fields} values=${{ email }}
             submitLabel="Create account" busyLabel="Creating account…" onSubmit=${submit} />
    <p class="login-switch">Already have an account?${" "}
      <button class="link" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>Log in</button>
    </p>`;
}

export function ResendScreen({ client, email, onScreen }) {
  const submit = async ({ email: address }) => {
    await client.account.resendVerification(address);
    onScreen("mail", address, null, { purpose: "registration" });
  };
  return html`
    <${Form} testid="resend-form" fields=${[EMAIL]} values=${{ email }}
             submitLabel="Send a new link" busyLabel="Sending…" onSubmit=${submit} />
    <${BackToLogin} onScreen=${onScreen} />`;
}
