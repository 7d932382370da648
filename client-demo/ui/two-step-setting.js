/** An authenticator app, recovery codes, and whether other devices may let a new one in. */
import { Form } from "./forms.js";
import { html } from "./html.js";
import { RecoveryCodes } from "./recovery-codes.js";
import { Setting } from "./setting.js";
import { counted } from "./words.js";

const CODE_FIELD = {
  name: "code", label: "Code", type: "text", autocomplete: "one-time-code", plain: true, numeric: true,
  hint: "The six digits that the app shows now.",
};

export class TwoStepSetting extends Setting {
  firstState() {
    return { factors: null, approvals: null, setup: null, codes: null };
  }

  componentDidMount() {
    this.load().catch(() => this.say("This cannot be read now.", { failed: true }));
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
    const codes = await this.props.client.account.enableTotp(code);
    this.say("Two-step login is on. Your other devices were logged out.", { setup: null, codes });
    await this.load();
  };

  disable = () => this.run(async () => {
    await this.props.client.account.disableTotp();
    this.setState({ codes: null });
    await this.load();
    return "The authenticator app is taken away.";
  });

  renewCodes = () => this.run(async () => {
    const hadCodes = this.state.factors.recoveryCodes !== null;
    this.setState({ codes: await this.props.client.account.renewRecoveryCodes() });
    await this.load();
    return hadCodes ? "The old codes are void." : "";
  });

  allowApprovals = (enabled) => this.run(async () => {
    await this.props.client.account.allowApprovals(enabled);
    await this.load();
    return enabled ? "Your devices may let a new one in." : "No device lets a new one in any more.";
  });

  render(_, { factors, setup, codes, open, approvals }) {
    return this.card({ id: "two-step", title: "Two-step login", summary: summaryOf(factors) }, html`
      ${codes && html`<${RecoveryCodes} codes=${codes} onKept=${() => this.setState({ codes: null })} />`}
      ${setup ? this.setupForm(setup) : factors && open === null && this.actions(factors, approvals)}
      ${open === "disable" && this.question("disable", "Turn the authenticator app off?", "Yes, turn it off", this.disable)}
      ${open === "codes" && this.question("new-codes", "Make new codes? The old ones are void then.", "Yes, make new ones",
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
          approvals ? "Stop approval by devices" : "Allow approval by devices", () => this.allowApprovals(!approvals))}
      </div>`;
  }

  setupForm({ qrSvg, secret }) {
    return html`
      <div class="totp" key="setup">
        <img class="totp-qr" width="200" height="200" alt="QR code for the authenticator app" data-testid="totp-qr"
             src=${imageOf(qrSvg)} />
        <div>
          <p>Scan this with your authenticator app, or type the key there:</p>
          <p><code class="breakable" data-testid="totp-secret">${secret}</code></p>
        </div>
      </div>
      <${Form} testid="totp-enable-form" fields=${[CODE_FIELD]} submitLabel="Turn on" busyLabel="Checking…"
               onSubmit=${this.enable} onCancel=${() => this.setState({ setup: null })} />`;
  }
}

/** The server's SVG is made to stand in a page; as an image it has to say what it is. */
function imageOf(svg) {
  const whole = svg.includes("xmlns=") ? svg : svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"');
  return `data:image/svg+xml,${encodeURIComponent(whole)}`;
}

function summaryOf(factors) {
  if (!factors) return "Loading…";
  if (factors.methods.length === 0) return "Off. A stolen password is enough to log in.";
  const app = factors.totp && "Authenticator app";
  const passkeys = factors.passkeys > 0 && counted(factors.passkeys, "passkey");
  const codes = factors.recoveryCodes
    ? `${counted(factors.recoveryCodes.left, "recovery code")} left` : "no recovery codes";
  return ["On", app, passkeys, codes].filter(Boolean).join(" · ");
}
