/** The account's passkeys: add, rename, remove. */
import { relativeTime } from "./format.js";
import { Form } from "./forms.js";
import { html } from "./html.js";
import { showRecoveryCodes } from "./recovery-codes.js";
import { SettingCard } from "./setting-card.js";
import { PasskeyHint, createPasskey, supportsPasskeys } from "./webauthn.js";

const systemName = () => /Windows|Android|iPhone|iPad|Mac|Linux/.exec(navigator.userAgent)?.[0] ?? "This device";

const NAME_FIELD = { name: "name", label: "Name", type: "text", autocomplete: "off", hint: "Helps you tell your passkeys apart." };

export class PasskeysSetting extends SettingCard {
  what = "Your passkeys";

  firstState() {
    return { passkeys: null, wantsCodes: false };
  }

  async load() {
    this.setState({ passkeys: await this.props.client.account.passkeys() });
  }

  add = async ({ name }) => {
    const { client: { account }, onPasskeys } = this.props;
    const credential = await createPasskey(await account.newPasskeyOptions());
    await account.addPasskey({ credential, name: name.trim() });
    this.say("Passkey added. A login with your password now asks for it too.", { open: null });
    await this.load();
    // Without recovery codes, losing the device would lock the user out.
    const { recoveryCodes } = await account.factors();
    this.setState({ wantsCodes: !recoveryCodes });
    onPasskeys();
  };

  getCodes = () => this.run(async () => {
    const { client } = this.props;
    showRecoveryCodes(client, await client.account.renewRecoveryCodes());
    this.setState({ wantsCodes: false });
    this.props.onPasskeys();
    return "";
  });

  rename = async (id, { name }) => {
    await this.props.client.account.renamePasskey(id, name.trim());
    await this.load();
    this.say("Renamed.", { open: null });
  };

  remove = (id) => this.run(async () => {
    await this.props.client.account.removePasskey(id);
    await this.load();
    this.props.onPasskeys();
    return "Passkey removed.";
  });

  render(_, { passkeys, wantsCodes, open }) {
    const none = "None yet. A passkey logs you in with your fingerprint, face or PIN, and cannot be phished. "
      + "Once you have one, a login with your password asks for it too.";
    const some = "Use them to log in and to confirm it’s you.";
    const summary = passkeys === null ? "Loading…" : passkeys.length ? some : none;
    return this.card({ id: "passkeys", title: "Passkeys", summary }, html`
      <ul class="rows">
        ${(passkeys ?? []).map((passkey) => html`
          <li key=${passkey.id} class="row" data-testid="passkey">
            ${open === passkey.id ? html`
              <${Form} testid="rename-form" fields=${[NAME_FIELD]} values=${passkey} focusFirst submitLabel="Rename"
                       busyLabel="Renaming…" onSubmit=${(values) => this.rename(passkey.id, values)}
                       onCancel=${() => this.show(null)} />`
              : open === `remove ${passkey.id}`
                ? this.question("remove-passkey", `Remove ${passkey.name}?`, "Yes, remove it", () => this.remove(passkey.id))
                : this.row(passkey)}
          </li>`)}
      </ul>
      ${wantsCodes && html`
        <div class="notice is-warning">
          <p>Get recovery codes too: you need them where this passkey does not work, or when you lose it.</p>
          <div class="card-actions">${this.button("get-codes", "Get recovery codes", this.getCodes, { small: true })}</div>
        </div>`}
      ${!supportsPasskeys() ? html`<${PasskeyHint} />` : open === "add" ? html`
        <${Form} key="add" testid="passkey-form" fields=${[NAME_FIELD]} values=${{ name: systemName() }} focusFirst
                 submitLabel="Add a passkey" busyLabel="Waiting for the passkey…" onSubmit=${this.add}
                 onCancel=${() => this.show(null)} />`
        : html`<div class="card-actions">${this.button("add-passkey", "Add a passkey", () => this.show("add"))}</div>`}`);
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
        ${this.button("remove-passkey", "Remove", () => this.show(`remove ${id}`), { small: true, danger: true })}
      </div>`;
  }
}
