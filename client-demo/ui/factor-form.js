/** Form for a second factor or step-up, with buttons for the other methods. */
import { passkeyErrorSentence } from "./error-messages.js";
import { Form } from "./forms.js";
import { Component, html } from "./html.js";
import { PasskeyHint, getPasskey, supportsPasskeys } from "./webauthn.js";

const CODE = { name: "code", type: "text", autocomplete: "one-time-code", plain: true };

/** @param {import("./server-config.js").Config} config */
export const totpField = ({ codes: { totpDigits } }) => ({
  ...CODE, label: "Code", numeric: true,
  hint: `The ${totpDigits ? `${totpDigits}-digit ` : ""}code that your authenticator app shows now.`,
});

/** The fields of typed factors, by method. */
const FIELDS = {
  totp: totpField,
  recovery_code: () => ({ ...CODE, label: "Recovery code", autocomplete: "off", hint: "Each code works once." }),
  password: () => ({ name: "password", label: "Password", type: "password", autocomplete: "current-password" }),
};

const NAMES = {
  passkey: "Use a passkey",
  approval: "Approve on another device",
  totp: "Use the authenticator app",
  recovery_code: "Use a recovery code",
  password: "Use your password",
};

/** Order of the buttons, and of preference for the method that is shown first: recovery codes are for emergencies. */
const ORDER = Object.keys(NAMES);
const PREFERENCE = ["totp", "passkey", "password", "approval", "recovery_code"];

const canBeUsed = (method) => method in NAMES && (method !== "passkey" || supportsPasskeys());

/**
 * Properties: `config`, `methods`, `submitLabel`, `passkeyOptions()`, `onAnswer(answer)`, `explain(error)`, and
 * `Approval`, a component for the method `approval`.
 */
export class FactorForm extends Component {
  state = { picked: null };

  render({ methods, Approval, ...props }, { picked }) {
    const usable = methods.filter((method) => canBeUsed(method) && (method !== "approval" || Approval));
    const method = picked ?? PREFERENCE.find((each) => usable.includes(each));
    const elsewhere = methods.includes("passkey") && !supportsPasskeys() && html`<${PasskeyHint} />`;
    if (!method) {
      return html`
        <p class="notice is-warning">${methods.length ? "The methods you set up do not work at this address." :
          "Log out and log in again first."}</p>${elsewhere}`;
    }
    const others = ORDER.filter((each) => each !== method && usable.includes(each));
    return html`
      <div class="factors" data-testid="factors" data-method=${method}>
        ${method === "approval" ? html`<${Approval} />`
          : method === "passkey" ? html`<${PasskeyFactor} ...${props} />`
          : html`<${TypedFactor} key=${method} method=${method} ...${props} />`}
        ${others.length > 0 && html`
          <ul class="factors-others" aria-label="Other methods">
            ${others.map((each) => html`
              <li key=${each}><button class="link" type="button" data-testid=${`factor-${each}`}
                  onClick=${() => this.setState({ picked: each })}>${NAMES[each]}</button></li>`)}
          </ul>`}
        ${elsewhere}
      </div>`;
  }
}

function TypedFactor({ config, method, submitLabel, onAnswer, explain }) {
  return html`
    <${Form} testid=${`${method}-form`} fields=${[FIELDS[method](config)]} submitLabel=${submitLabel} busyLabel="Checking…"
             explain=${explain} focusFirst onSubmit=${(values) => onAnswer({ method, ...values })} />`;
}

class PasskeyFactor extends Component {
  state = { busy: false, problem: "" };

  use = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    try {
      const credential = await getPasskey(await this.props.passkeyOptions());
      await this.props.onAnswer({ method: "passkey", credential });
    } catch (error) {
      this.setState({ busy: false, problem: passkeyErrorSentence(error) });
    }
  };

  render(_, { busy, problem }) {
    return html`
      <p class="muted">Your browser will ask for your fingerprint, face or PIN.</p>
      <div class="form-problem" role="alert" data-testid="form-error">${problem}</div>
      <button class="button primary wide" type="button" data-testid="use-passkey" aria-disabled=${busy}
              onClick=${this.use}>${busy ? "Waiting for the passkey…" : "Use a passkey"}</button>`;
  }
}
