/** Name, password and address of the account. */
import { VigilError, asVigilError } from "../vigil-rules.js";
import { EMAIL, Form, NEW_PASSWORD } from "./forms.js";
import { html } from "./html.js";
import { Setting } from "./setting.js";
import { counted } from "./words.js";

const PROFILE_FIELDS = [
  { name: "name", label: "Your name", type: "text", autocomplete: "name", hint: "What others in the room see." },
  { name: "username", label: "Username", type: "text", autocomplete: "off", plain: true, optional: true },
];

export class ProfileSetting extends Setting {
  save = async ({ name, username }) => {
    const { client } = this.props;
    const handle = username.trim();
    await client.account.edit({ name: name.trim(), ...(handle && { username: handle }) });
    this.say("Saved.", { open: null });
  };

  render({ user }, { open }) {
    const summary = [user.name ?? "No name yet", user.username && `@${user.username}`].filter(Boolean).join(" · ");
    return this.card({ id: "profile", title: "Profile", summary }, open ? html`
      <${Form} testid="profile-form" fields=${PROFILE_FIELDS} values=${user} focusFirst submitLabel="Save"
               busyLabel="Saving…" onSubmit=${this.save} onCancel=${() => this.show(null)} />`
      : html`<div class="card-actions">${this.button("edit-profile", "Edit", () => this.show("form"))}</div>`);
  }
}

const CURRENT_PASSWORD = {
  name: "currentPassword", label: "Current password", type: "password", autocomplete: "current-password",
};

/** The sentence of a login does not fit somebody who typed no address. @param {unknown} error @returns {never} */
function explain(error) {
  const { code } = asVigilError(error);
  if (code !== "invalid_credentials") throw error;
  const errors = [{ field: "currentPassword", message: "This is not your current password." }];
  throw new VigilError({ code, errors });
}

export class PasswordSetting extends Setting {
  change = async ({ currentPassword, password }) => {
    const { revoked } = await this.props.client.account.changePassword({ currentPassword, password }).catch(explain);
    const ended = revoked ? `${counted(revoked, "other device")} logged out.` : "No other device was logged in.";
    this.say(`Password changed. ${ended}`, { open: null });
  };

  setFirst = async ({ password }) => {
    try {
      await this.props.client.account.changePassword({ password });
    } catch (error) {
      if (!asVigilError(error).errors.some(({ field }) => field === "currentPassword")) throw error;
      return this.say("Your account has a password already: it is needed here.", { failed: true, open: "form" });
    }
    this.say("Password set. You can log in with it from now on.", { open: null });
  };

  render(_, { open }) {
    const summary = "Changing it logs your other devices out.";
    const close = () => this.show(null);
    return this.card({ id: "password", title: "Password", summary }, open === "first" ? html`
      <${Form} key="first" testid="first-password-form" fields=${[NEW_PASSWORD]} focusFirst
               submitLabel="Set the password" busyLabel="Setting…" onSubmit=${this.setFirst} onCancel=${close} />`
      : open ? html`
      <${Form} key="change" testid="password-form" fields=${[CURRENT_PASSWORD, NEW_PASSWORD]} focusFirst
               submitLabel="Change the password" busyLabel="Changing…" onSubmit=${this.change} onCancel=${close} />
      <p class="field-note">You log in by a provider or a passkey, and never had a password?${" "}
        <button class="link" type="button" data-testid="first-password" onClick=${() => this.show("first")}>
          Set one</button></p>`
      : html`<div class="card-actions">
          ${this.button("change-password", "Change password", () => this.show("form"))}</div>`);
  }
}

const NEW_EMAIL = { ...EMAIL, label: "New e-mail address", autocomplete: "email" };

export class EmailSetting extends Setting {
  change = async ({ email }) => {
    await this.props.client.account.changeEmail(email);
    this.say("Two mails are on their way: follow the link in both, within an hour.", { open: null });
  };

  render({ user }, { open }) {
    const summary = html`<span class="breakable">${user.email}</span>`;
    return this.card({ id: "email", title: "E-mail address", summary }, open ? html`
      <${Form} testid="email-form" fields=${[NEW_EMAIL]} focusFirst submitLabel="Send the links"
               busyLabel="Sending…" onSubmit=${this.change} onCancel=${() => this.show(null)} />`
      : html`<div class="card-actions">
          ${this.button("change-email", "Change address", () => this.show("form"))}</div>`);
  }
}
