/** Export of the account's data, and deletion of the account. */
import { longDate } from "./format.js";
import { html } from "./html.js";
import { saveFile } from "./save-file.js";
import { SettingCard } from "./setting-card.js";

export class AccountDataSetting extends SettingCard {
  export = () => this.run(async () => {
    const everything = await this.props.client.account.export();
    saveFile("account.json", JSON.stringify(everything, null, 2), "application/json");
    return "Saved as account.json.";
  });

  delete = () => this.run(async () => {
    await this.props.client.account.delete();
    return "";
  });

  restore = () => this.run(async () => {
    await this.props.client.account.restore();
    return "Your account will not be deleted.";
  });

  render({ client, config, user }, { open }) {
    const date = user.deletionAt && longDate(user.deletionAt);
    const summary = date ? `Your account will be deleted on ${date}.` : "Download a copy of your data, or delete your account.";
    const graceMs = config.lifetimes.accountDeletionMs;
    const until = graceMs ? `Until ${longDate(client.serverNow() + graceMs)} you` : "You";
    return this.card({ id: "data", title: "Your data", summary }, open ? html`
      <p>All your devices will be logged out. ${until} can log in and press “Keep my account”.</p>
      ${this.question("delete", "Delete the account?", "Yes, delete it", this.delete)}` : html`
      <div class="card-actions" key="actions">
        ${this.button("export", "Download my data", this.export)}
        ${date ? this.button("restore", "Keep my account", this.restore)
          : this.button("delete-account", "Delete account", () => this.show("delete"), { danger: true })}
      </div>`);
  }
}
