/** Two-step verification: authenticator app, recovery codes, and approval of logins by other devices. */
import { totpField } from "./factor-form.js";
import { plural } from "./format.js";
import { Form } from "./forms.js";
import { html } from "./html.js";
import { showRecoveryCodes } from "./recovery-codes.js";
import { SettingCard } from "./setting-card.js";

export class TwoStepSetting extends SettingCard {
  what = "Two-step verification";

  firstState() {
    return { factors: null, approvals: null, setup: null };
  }

  componentDidUpdate(props, state, hadFocus) {
    super.componentDidUpdate(props, state, hadFocus);
    if (props.passkeyChanges !== this.props.passkeyChanges) this.load().catch(() => undefined);
  }

  async load() {
    const { account } = this.props.client;
    const [factors, approvals] = await Promise.all([account.factors(), account.approvals()]);
    this.setState({ factors, approvals });
  }

  setUp = () => this.run(async () => {
    this.setState({ setup: await this.props.client.account.setUpTotp() });
    return "";
  });

  enable = async ({ code }) => {
    const { client } = this.props;
    showRecoveryCodes(client, await client.account.enableTotp(code));
    this.say("Two-step verification is on. Your other devices were logged out.", { setup: null });
    await this.load();
  };

  disable = () => this.run(async () => {
    await this.props.client.account.disableTotp();
    await this.load();
    return "The authenticator app was removed.";
  });

  renewCodes = () => this.run(async () => {
    const { client } = this.props;
    const hadCodes = this.state.factors.recoveryCodes !== null;
    showRecoveryCodes(client, await client.account.renewRecoveryCodes());
    await this.load();
    return hadCodes ? "The old codes no longer work." : "";
  });

  allowApprovals = (enabled) => this.run(async () => {
    await this.props.client.account.allowApprovals(enabled);
    await this.load();
    return enabled ? "Your devices can now approve new logins." : "Your devices can no longer approve new logins.";
  });

  render(_, { factors, setup, open, approvals }) {
    return this.card({ id: "two-step", title: "Two-step verification", summary: summaryOf(factors) }, html`
      ${setup ? this.setupForm(setup) : factors && open === null && this.actions(factors, approvals)}
      ${open === "disable" && this.question("disable", "Turn the authenticator app off?", "Yes, turn it off", this.disable)}
      ${open === "codes" && this.question("new-codes", "Make new codes? The old ones will stop working.", "Yes, make new ones",
                                          this.renewCodes)}`);
  }

  actions({ totp, recoveryCodes, methods }, approvals) {
    const isOn = methods.length > 0;
    return html`
      <div class="card-actions" key="actions">
        ${totp
          ? this.button("disable-totp", "Turn the app off", () => this.show("disable"), { danger: true })
          : this.button("setup-totp", "Set up an authenticator app", this.setUp)}
        ${isOn && this.button("new-codes", recoveryCodes ? "New recovery codes" : "Get recovery codes",
          recoveryCodes ? () => this.show("codes") : this.renewCodes)}
        ${isOn && this.button("toggle-approvals",
          approvals ? "Turn off login approval" : "Turn on login approval", () => this.allowApprovals(!approvals))}
      </div>`;
  }

  copyKey = async () => {
    const copied = navigator.clipboard?.writeText(this.state.setup.secret) ?? Promise.reject();
    this.say(await copied.then(() => "Copied.", () => "Could not copy. Select the key."));
  };

  setupForm({ qrSvg, secret, uri }) {
    const isPhone = isTouchScreen();
    return html`
      ${isPhone && html`
        <a class="button primary" href=${uri} data-testid="totp-open">Open in your authenticator app</a>`}
      <div class="totp" key="setup">
        <img class="totp-qr" width="200" height="200" alt="QR code for the authenticator app" data-testid="totp-qr"
             src=${imageOf(qrSvg)} />
        <div>
          <p>${isPhone ? "Or scan the code with another device, or enter this key:"
            : "Scan this with your authenticator app, or enter this key:"}</p>
          <p><code class="totp-key" data-testid="totp-secret">${secret.match(/.{1,4}/g).join(" ")}</code></p>
          <button class="button small" type="button" data-testid="copy-key" onClick=${this.copyKey}>Copy the key</button>
        </div>
      </div>
      <${Form} testid="totp-enable-form" fields=${[totpField(this.props.config)]} submitLabel="Turn on" busyLabel="Checking…"
               focusFirst=${!isPhone}
               onSubmit=${this.enable} onCancel=${() => this.setState({ setup: null })} />`;
  }
}

/** Authenticator apps run on phones and tablets. There the keyboard of a focused field would hide the key. */
const isTouchScreen = () => matchMedia("(pointer: coarse)").matches;

/** Converts the server's inline SVG to an image URL; an SVG image needs the XML namespace. */
function imageOf(svg) {
  const whole = svg.includes("xmlns=") ? svg : svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"');
  return `data:image/svg+xml,${encodeURIComponent(whole)}`;
}

function summaryOf(factors) {
  if (!factors) return "Loading…";
  if (factors.methods.length === 0) return "Off. A stolen password is enough to log in.";
  const app = factors.totp && "Authenticator app";
  const passkeys = factors.passkeys > 0 && plural(factors.passkeys, "passkey");
  const codes = factors.recoveryCodes
    ? `${plural(factors.recoveryCodes.left, "recovery code")} left` : "no recovery codes";
  return ["On", app, passkeys, codes].filter(Boolean).join(" · ");
}
