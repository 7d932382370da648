/** The account's e-mail address, and the change of it that waits for its confirmations. */
import { clockTime, duration } from "./format.js";
import { EMAIL, Form } from "./forms.js";
import { html } from "./html.js";
import { SettingCard } from "./setting-card.js";

const NEW_EMAIL = { ...EMAIL, label: "New e-mail address", autocomplete: "email" };
const WAITING = {
  old: "Confirmed from your current mailbox. Open the link in the mail to the new address.",
  new: "Confirmed from the new mailbox. Open the link in the mail to your current address.",
};

export class EmailSetting extends SettingCard {
  change = async ({ email }) => {
    const { client, config } = this.props;
    await client.account.changeEmail(email);
    const life = config.lifetimes.emailChangeLinkMs;
    this.say(`Two mails were sent: open the link in both${life ? ` within ${duration(life)}` : ""}.`, { open: null });
    // If this fails, the change is shown when the page is opened again.
    await client.me().catch(() => undefined);
  };

  cancel = () => this.run(async () => {
    const { client } = this.props;
    await client.account.cancelEmailChange();
    await client.me();
    return "The change was cancelled. Your address stays the same.";
  });

  render({ client, user }, { open }) {
    const { pendingEmail: pending } = user;
    const isPending = pending && Date.parse(pending.expiresAt) > client.serverNow();
    const summary = html`<span class="breakable">${user.email}</span>`;
    return this.card({ id: "email", title: "E-mail address", summary }, html`
      ${isPending && html`
        <p class="field-note breakable" data-testid="pending-email">
          Change to <strong>${pending.email}</strong>, until ${clockTime(pending.expiresAt)}.${" "}
          ${WAITING[pending.confirmed] ?? "Open the links in the mails to both addresses."}</p>`}
      ${open ? html`
        <${Form} testid="email-form" fields=${[NEW_EMAIL]} focusFirst submitLabel="Send the links"
                 busyLabel="Sending…" onSubmit=${this.change} onCancel=${() => this.show(null)} />`
      : html`<div class="card-actions">
          ${this.button("change-email", "Change address", () => this.show("form"))}
          ${isPending && this.button("cancel-email", "Cancel the change", this.cancel)}</div>`}`);
  }
}
