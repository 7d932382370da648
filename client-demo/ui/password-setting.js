/** The account's password. */
import { VigilError, asVigilError } from "../vigil-errors.js";
import { plural } from "./format.js";
import { Form, newPassword } from "./forms.js";
import { html } from "./html.js";
import { SettingCard } from "./setting-card.js";

const CURRENT_PASSWORD = {
  name: "currentPassword", label: "Current password", type: "password", autocomplete: "current-password",
};

/** Replaces the message of a failed login, which speaks of the e-mail address. @param {unknown} error @returns {never} */
function explain(error) {
  const { code } = asVigilError(error);
  if (code !== "invalid_credentials") throw error;
  const errors = [{ field: "currentPassword", message: "This is not your current password." }];
  throw new VigilError({ code, errors });
}

export class PasswordSetting extends SettingCard {
  change = async ({ currentPassword, password }) => {
    const { revoked } = await this.props.client.account.changePassword({ currentPassword, password }).catch(explain);
    const ended = revoked ? `${plural(revoked, "other device")} logged out.` : "No other device was logged in.";
    this.say(`Password changed. ${ended}`, { open: null });
  };

  setFirst = async ({ password }) => {
    try {
      await this.props.client.account.changePassword({ password });
    } catch (error) {
      if (!asVigilError(error).errors.some(({ field }) => field === "currentPassword")) throw error;
      return this.say("Your account already has a password: enter it.", { failed: true, open: "form" });
    }
    this.say("Password set. You can log in with it from now on.", { open: null });
  };

  render({ config }, { open }) {
    const summary = "Changing it logs out your other devices.";
    const close = () => this.show(null);
    return this.card({ id: "password", title: "Password", summary }, open === "first" ? html`
      <${Form} key="first" testid="first-password-form" fields=${[newPassword(config)]} focusFirst
               submitLabel="Set the password" busyLabel="Setting…" onSubmit=${this.setFirst} onCancel=${close} />`
      : open ? html`
      <${Form} key="change" testid="password-form" fields=${[CURRENT_PASSWORD, newPassword(config)]} focusFirst
               submitLabel="Change the password" busyLabel="Changing…" onSubmit=${this.change} onCancel=${close} />
      <p class="field-note">You log in with a provider or a passkey, and have no password yet?${" "}
        <button class="link" type="button" data-testid="first-password" onClick=${() => this.show("first")}>
          Set one</button></p>`
      : html`<div class="card-actions">
          ${this.button("change-password", "Change password", () => this.show("form"))}</div>`);
  }
}
