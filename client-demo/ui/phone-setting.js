/** The phone number to log in with. */
import { html } from "./html.js";
import { PhoneForms } from "./phone-login.js";
import { SettingCard } from "./setting-card.js";

export class PhoneSetting extends SettingCard {
  send = (phoneNumber) => this.props.client.account.sendPhoneCode(phoneNumber);

  verify = async (answer) => {
    await this.props.client.account.confirmPhone(answer);
    this.say("You can now log in with this number.", { open: null });
  };

  remove = () => this.run(async () => {
    await this.props.client.account.removePhone();
    return "The number was removed from your account.";
  });

  render({ client, config, user: { phoneNumber } }, { open }) {
    // Servers without phone login leave the field out.
    if (phoneNumber === undefined) return null;
    const summary = phoneNumber ? html`<strong>${phoneNumber}</strong>` : "None. Add one to log in with a code sent by SMS.";
    return this.card({ id: "phone", title: "Phone", summary }, open === "phone" ? html`
      <${PhoneForms} submitLabel="Use this number" isOwn client=${client} config=${config} send=${this.send} verify=${this.verify}
                     onCancel=${() => this.show(null)} />`
      : open === "remove" ? this.question("remove-phone", `Remove ${phoneNumber}?`, "Yes, remove it", this.remove) : html`
      <div class="card-actions">
        ${this.button("change-phone", phoneNumber ? "Change the number" : "Add a number", () => this.show("phone"))}
        ${phoneNumber && this.button("remove-phone", "Remove", () => this.show("remove"), { danger: true })}
      </div>`);
  }
}
