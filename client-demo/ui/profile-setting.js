/** The account's name and username. */
import { Form } from "./forms.js";
import { html } from "./html.js";
import { SettingCard } from "./setting-card.js";

const profileFields = ({ maxLengths }) => [
  { name: "name", label: "Your name", type: "text", autocomplete: "name", maxLength: maxLengths.name,
    hint: "Shown to others in the chat room." },
  { name: "username", label: "Username", type: "text", autocomplete: "off", plain: true, optional: true },
];

export class ProfileSetting extends SettingCard {
  save = async ({ name, username }) => {
    const { client } = this.props;
    const handle = username.trim();
    await client.account.edit({ name: name.trim(), ...(handle && { username: handle }) });
    this.say("Saved.", { open: null });
  };

  render({ config, user }, { open }) {
    const summary = [user.name ?? "No name yet", user.username && `@${user.username}`].filter(Boolean).join(" · ");
    return this.card({ id: "profile", title: "Profile", summary }, open ? html`
      <${Form} testid="profile-form" fields=${profileFields(config)} values=${user} focusFirst submitLabel="Save"
               busyLabel="Saving…" onSubmit=${this.save} onCancel=${() => this.show(null)} />`
      : html`<div class="card-actions">${this.button("edit-profile", "Edit", () => this.show("form"))}</div>`);
  }
}
