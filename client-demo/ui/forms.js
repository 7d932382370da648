/** Forms: labelled fields with their errors beside them, one submit at a time. */
import { VigilError, asVigilError } from "../vigil-errors.js";
import { errorSentence } from "./error-messages.js";
import { Component, createRef, html } from "./html.js";

export const EMAIL = { name: "email", label: "E-mail address", type: "email", autocomplete: "username" };

/** @param {import("./server-config.js").Config} config */
export const newPassword = ({ password: { minLength, maxLength } }, label = "New password") => ({
  name: "password", label, type: "password", autocomplete: "new-password", minLength, maxLength,
  hint: `${minLength ? `At least ${minLength} characters. ` : ""}A few random words beat symbols.`,
});

/**
 * A form that shows errors next to the field that the server named, or above the button.
 *
 * Properties: `fields`, `submitLabel`, `busyLabel`, `onSubmit(values)`, `testid`, `values`, `focusFirst`,
 * `onCancel`, `onInput(values)`, `quiet` for a form that is not the first choice, `resets` for one that stays open and is then
 * empty again, and `explain(error, values)`, which may return an element to add to the error message.
 */
export class Form extends Component {
  state = { errors: {}, problem: null, busy: false, sent: {} };
  #form = createRef();

  componentDidMount() {
    if (this.props.focusFirst) this.#form.current.querySelector("input")?.focus();
  }

  submit = async (event) => {
    event.preventDefault();
    if (this.state.busy) return;
    const values = Object.fromEntries(new FormData(this.#form.current));
    const errors = plainErrors(this.props.fields, values);
    if (Object.keys(errors).length) return this.#show({ errors, problem: null });
    this.setState({ busy: true, errors: {}, problem: null, sent: values });
    try {
      await this.props.onSubmit(values);
      if (this.props.resets) this.#form.current?.reset();
      this.setState({ busy: false });
    } catch (error) {
      this.#show(this.#sorted(error));
    }
  };

  #sorted(error) {
    if (!(error instanceof VigilError)) reportError(error);
    const refusal = asVigilError(error);
    const names = new Set(this.props.fields.map(({ name }) => name));
    const beside = refusal.errors.filter(({ field }) => names.has(field));
    const errors = Object.fromEntries(beside.map(({ field, message }) => [field, this.#sentence(field, message)]));
    return { errors, problem: beside.length ? null : refusal };
  }

  /** The server's messages continue the field's name: "must be a string". */
  #sentence(field, message) {
    if (!/^[a-z]/.test(message)) return message;
    const { label } = this.props.fields.find(({ name }) => name === field);
    return `${label} ${message.replace(/\.?$/, ".")}`;
  }

  #show({ errors, problem }) {
    this.setState({ busy: false, errors, problem }, () => {
      this.#form.current?.querySelector("[aria-invalid=true]")?.focus();
    });
  }

  render({ fields, values = {}, submitLabel, busyLabel, testid, explain, quiet, onCancel, onInput }, { errors, problem, busy, sent }) {
    return html`
      <form class="form" data-testid=${testid} ref=${this.#form} onSubmit=${this.submit}
            onInput=${() => onInput?.(Object.fromEntries(new FormData(this.#form.current)))} novalidate>
        ${fields.map((field) => html`
          <${Field} key=${field.name} ...${field} initial=${values[field.name]} error=${errors[field.name]} />`)}
        <div class="form-problem" role="alert" data-testid="form-error">
          ${problem && html`<p>${errorSentence(problem)}</p>${explain?.(problem, sent)}`}
        </div>
        <button class=${`button wide ${quiet ? "" : "primary"}`} type="submit" data-testid="submit" aria-disabled=${busy}>
          ${busy ? busyLabel : submitLabel}
        </button>
        ${onCancel && html`
          <button class="button wide" type="button" data-testid="cancel" onClick=${onCancel}>Cancel</button>`}
      </form>`;
  }
}

/** Errors found without the server, for all fields at once. */
function plainErrors(fields, values) {
  const found = fields.map((field) => [field.name, plainError(field, values[field.name])]);
  return Object.fromEntries(found.filter(([, error]) => error));
}

/** Types of fields whose content belongs to the person. */
const PERSONAL = new Set(["email", "password", "tel"]);

/** Bounds that are not known are not checked: the server checks all of them. */
function plainError({ label, type, optional, minLength, maxLength }, value) {
  if (!value.trim()) return optional ? null : `Enter ${PERSONAL.has(type) ? "your" : "the"} ${label.toLowerCase()}.`;
  if (type === "email" && !/^\S+@\S+$/.test(value.trim())) return `${label} must look like name@example.org.`;
  const { length } = [...value];
  if (length < minLength) return `${label} must have at least ${minLength} characters.`;
  if (length > maxLength) return `${label} must have at most ${maxLength} characters.`;
  return null;
}

let fieldCount = 0;

class Field extends Component {
  state = { revealed: false };
  /** Unique: several forms on one page have fields of the same name. */
  #id = `field-${fieldCount++}`;

  render({ name, label, type, hint, optional, autocomplete, initial, error, plain, numeric, after }, { revealed }) {
    const id = this.#id;
    const isPassword = type === "password";
    return html`
      <div class="field">
        <label for=${id}>${label}${optional && html` <span class="muted">optional</span>`}</label>
        <div class="field-box">
          <input id=${id} name=${name} type=${revealed ? "text" : type} autocomplete=${autocomplete}
                 defaultValue=${initial ?? ""} required=${!optional}
                 autocapitalize=${type === "text" && !plain ? "words" : "none"} spellcheck=${false}
                 inputmode=${numeric ? "numeric" : undefined}
                 aria-invalid=${error ? "true" : "false"} aria-describedby=${`${id}-note`} data-testid=${name} />
          ${isPassword && html`
            <button class="field-reveal" type="button" aria-pressed=${revealed} aria-controls=${id}
                    onClick=${() => this.setState({ revealed: !revealed })}>
              ${revealed ? "Hide" : "Show"}<span class="visually-hidden"> password</span>
            </button>`}
        </div>
        <div class="field-foot">
          <p class=${`field-note ${error ? "is-error" : ""}`} id=${`${id}-note`} aria-live="polite"
             data-testid=${`${name}-note`}>${error ?? hint ?? ""}</p>
          ${after}
        </div>
      </div>`;
  }
}
