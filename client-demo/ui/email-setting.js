/** The account's e-mail address. */
import { duration } from "./format.js";
import { EMAIL, Form } from "./forms.js";
import { html } from "./html.js";
import { SettingCard } from "./setting-card.js";

const NEW_EMAIL = { ...EMAIL, label: "New e-mail address", autocomplete: "email" };

export class EmailSetting extends SettingCard {
  change = async ({ email }) => {
    await this.props.client.account.changeEmail(email);
    const life = this.props.config.lifetimes.emailChangeLinkMs;
    this.say(`Two mails were sent: open the link in both${life ? ` within ${duration(life)}` : ""}.`, { open: null });
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
