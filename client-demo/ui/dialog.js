/** Modal dialog: the browser keeps the focus inside, and returns it when the dialog closes. */
import { Component, createRef, html } from "./html.js";

/** How long an unasked dialog ignores input that was meant for the page. */
const IGNORE_INPUT_MS = 500;

/**
 * Properties: `title`, `testid`, `onClose` (Escape; the page removes the dialog), `children`; `unasked` for a
 * dialog that opens without a user action.
 */
export class Dialog extends Component {
  state = { ignoresInput: this.props.unasked };
  #dialog = createRef();
  #heading = createRef();

  componentDidMount() {
    this.#dialog.current.showModal();
    if (!this.props.unasked) return;
    // An attacker can choose when this opens: an Enter or click meant for the page must not answer it.
    this.#heading.current.focus();
    this.timer = setTimeout(() => this.setState({ ignoresInput: false }), IGNORE_INPUT_MS);
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.isGone = true;
    // Only closing returns the focus; the element that had it may have been removed.
    this.#dialog.current.close();
    if (document.activeElement === document.body) focusContent();
  }

  cancel = (event) => {
    event.preventDefault();
    if (!this.state.ignoresInput) this.props.onClose();
  };

  /** Browsers close the dialog at a second Escape without a cancelable event. */
  closed = () => {
    if (!this.isGone) this.props.onClose();
  };

  render({ title, testid, unasked, children }, { ignoresInput }) {
    const id = `${testid}-title`;
    return html`
      <dialog class="dialog" ref=${this.#dialog} aria-labelledby=${id} data-testid=${testid} onCancel=${this.cancel}
              onClose=${this.closed}>
        <h2 id=${id} class="dialog-title" tabindex=${unasked ? -1 : undefined} ref=${this.#heading}>${title}</h2>
        <div class="dialog-body" inert=${ignoresInput}>${children}</div>
      </dialog>`;
  }
}

/** Focuses the heading of the main content, or the content itself. */
export function focusContent() {
  const place = document.querySelector("main h1[tabindex]") ?? document.querySelector("main");
  place?.focus({ preventScroll: true });
}
