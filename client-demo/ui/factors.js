/** Proving that it is you, by whichever factor the person picks: for a login, and for a step-up. */
import { Form } from "./forms.js";
import { Component, html } from "./html.js";
import { PasskeysElsewhere, askPasskey, hasPasskeys } from "./webauthn.js";
import { passkeyProblem } from "./words.js";

const CODE = { name: "code", type: "text", autocomplete: "one-time-code", plain: true };

/** The fields of the methods that are typed. */
const FIELDS = {
  totp: { ...CODE, label: "Code", numeric: true, hint: "The six digits that your authenticator app shows now." },
  recovery_code: { ...CODE, label: "Recovery code", autocomplete: "off", hint: "Each of your codes is good once." },
  password: { name: "password", label: "Password", type: "password", autocomplete: "current-password" },
};

const NAMES = {
  passkey: "Use a passkey",
  approval: "Approve on another device",
  totp: "Use the authenticator app",
  recovery_code: "Use a recovery code",
  password: "Use your password",
};

/** What to offer first: the quickest that cannot be talked out of anybody, before what is for emergencies. */
const ORDER = Object.keys(NAMES);
const FIRST = ["totp", "passkey", "password", "approval", "recovery_code"];

const canBeUsed = (method) => method in NAMES && (method !== "passkey" || hasPasskeys());

/**
 * Properties: `methods`, `submitLabel`, `passkeyOptions()`, `onAnswer(answer)`, `explain(error)`, and `Approval`,
 * a component for the method `approval`.
 */
export class Factors extends Component {
  state = { picked: null };

  render({ methods, Approval, ...props }, { picked }) {
    const usable = methods.filter((method) => canBeUsed(method) && (method !== "approval" || Approval));
    const method = picked ?? FIRST.find((each) => usable.includes(each));
    const elsewhere = methods.includes("passkey") && !hasPasskeys() && html`<${PasskeysElsewhere} />`;
    if (!method) {
      return html`
        <p class="notice is-warning">${methods.length ? "What you set up for this cannot be used at this address." :
          "Log out and in again first: then this can be done."}</p>${elsewhere}`;
    }
    const others = ORDER.filter((each) => each !== method && usable.includes(each));
    return html`
      <div class="factors" data-testid="factors" data-method=${method}>
        ${method === "approval" ? html`<${Approval} />`
          : method === "passkey" ? html`<${PasskeyAnswer} ...${props} />`
          : html`<${TypedAnswer} key=${method} method=${method} ...${props} />`}
        ${others.length > 0 && html`
          <ul class="factors-others" aria-label="Other ways">
            ${others.map((each) => html`
              <li key=${each}><button class="link" type="button" data-testid=${`factor-${each}`}
                  onClick=${() => this.setState({ picked: each })}>${NAMES[each]}</button></li>`)}
          </ul>`}
        ${elsewhere}
      </div>`;
  }
}

function TypedAnswer({ method, submitLabel, onAnswer, explain }) {
  return html`
    <${Form} testid=${`${method}-form`} fields=${[FIELDS[method]]} submitLabel=${submitLabel} busyLabel="Checking…"
             explain=${explain} focusFirst onSubmit=${(values) => onAnswer({ method, ...values })} />`;
}

class PasskeyAnswer extends Component {
  state = { busy: false, problem: "" };

  use = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    try {
      const credential = await askPasskey(await this.props.passkeyOptions());
      await this.props.onAnswer({ method: "passkey", credential });
    } catch (error) {
      this.setState({ busy: false, problem: passkeyProblem(error) });
    }
  };

  render(_, { busy, problem }) {
    return html`
      <p class="muted">Your browser asks for your fingerprint, your face, or the device's PIN.</p>
      <div class="form-problem" role="alert" data-testid="form-error">${problem}</div>
      <button class="button primary wide" type="button" data-testid="use-passkey" aria-disabled=${busy}
              onClick=${this.use}>${busy ? "Waiting for the passkey…" : "Use a passkey"}</button>`;
  }
}
