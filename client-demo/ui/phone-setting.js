/** The phone number that somebody can log in by. */
import { html } from "./html.js";
import { PhoneForms } from "./phone-login.js";
import { Setting } from "./setting.js";

export class PhoneSetting extends Setting {
  send = (phoneNumber) => this.props.client.account.sendPhoneCode(phoneNumber);

  verify = async (answer) => {
    await this.props.client.account.confirmPhone(answer);
    this.say("You can log in by this number now.", { open: null });
  };

  remove = () => this.run(async () => {
    await this.props.client.account.removePhone();
    return "The number is taken off your account.";
  });

  render({ user: { phoneNumber } }, { open }) {
    // A server that knows no phones says nothing of one.
    if (phoneNumber === undefined) return null;
    const summary = phoneNumber ? html`<strong>${phoneNumber}</strong>` : "None. A code by SMS can log you in.";
    return this.card({ id: "phone", title: "Phone", summary }, open === "phone" ? html`
      <${PhoneForms} submitLabel="Use this number" isOwn client=${this.props.client} send=${this.send} verify=${this.verify}
                     onCancel=${() => this.show(null)} />`
      : open === "remove" ? this.question("remove-phone", `Remove ${phoneNumber}?`, "Yes, remove it", this.remove) : html`
      <div class="card-actions">
        ${this.button("change-phone", phoneNumber ? "Change the number" : "Add a number", () => this.show("phone"))}
        ${phoneNumber && this.button("remove-phone", "Remove", () => this.show("remove"), { danger: true })}
      </div>`);
  }
}
