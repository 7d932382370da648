/** The passkeys of the account: add one, name it, take it away. */
import { Form } from "./forms.js";
import { html } from "./html.js";
import { Setting } from "./setting.js";
import { hasPasskeys, makePasskey } from "./webauthn.js";
import { relativeTime } from "./words.js";

const NAME_FIELD = { name: "name", label: "Name", type: "text", autocomplete: "off", hint: "So that you can tell it apart." };

export class PasskeysSetting extends Setting {
  firstState() {
    return { passkeys: null };
  }

  componentDidMount() {
    this.load().catch(() => this.say("Your passkeys cannot be read now.", { failed: true }));
  }

  async load() {
    this.setState({ passkeys: await this.props.client.account.passkeys() });
  }

  add = () => this.run(async () => {
    const { account } = this.props.client;
    const credential = await makePasskey(await account.newPasskeyOptions());
    await account.addPasskey({ credential });
    await this.load();
    return "Passkey added. You can log in with it from now on.";
  });

  rename = async (id, { name }) => {
    await this.props.client.account.renamePasskey(id, name.trim());
    await this.load();
    this.say("Renamed.", { open: null });
  };

  remove = (id) => this.run(async () => {
    await this.props.client.account.removePasskey(id);
    await this.load();
    return "Passkey removed.";
  });

  render(_, { passkeys, open }) {
    const none = "None yet. A passkey logs you in by fingerprint, face or PIN, and cannot be phished.";
    const summary = passkeys === null ? "Loading…" : passkeys.length ? "They log you in, and prove that it is you." : none;
    return this.card({ id: "passkeys", title: "Passkeys", summary }, html`
      <ul class="rows">
        ${(passkeys ?? []).map((passkey) => html`
          <li key=${passkey.id} class="row" data-testid="passkey">
            ${open === passkey.id ? html`
              <${Form} testid="rename-form" fields=${[NAME_FIELD]} values=${passkey} focusFirst submitLabel="Rename"
                       busyLabel="Renaming…" onSubmit=${(values) => this.rename(passkey.id, values)}
                       onCancel=${() => this.show(null)} />` : this.row(passkey)}
          </li>`)}
      </ul>
      ${hasPasskeys() && html`<div class="card-actions">${this.button("add-passkey", "Add a passkey", this.add)}</div>`}`);
  }

  row({ id, name, createdAt, lastUsedAt }) {
    const now = this.props.client.serverNow();
    const used = lastUsedAt ? `used ${relativeTime(lastUsedAt, now)}` : "not used yet";
    return html`
      <div class="row-text">
        <p class="row-name" data-testid="passkey-name">${name}</p>
        <p class="device-line">Added ${relativeTime(createdAt, now)} · ${used}</p>
      </div>
      <div class="row-actions">
        ${this.button("rename-passkey", "Rename", () => this.show(id), { small: true })}
        ${this.button("remove-passkey", "Remove", () => this.remove(id), { small: true, danger: true })}
      </div>`;
  }
}
