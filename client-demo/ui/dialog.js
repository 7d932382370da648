/** A dialog above the page: the browser keeps the focus in it, and it goes back to what had it before. */
import { Component, createRef, html } from "./html.js";

/** Longer than somebody goes on typing, or clicking, after a dialog came between. */
const STRAY_MS = 500;

/**
 * Properties: `title`, `testid`, `onClose` (Escape; the page takes the dialog away), `children`; `unasked` for a
 * dialog that opens by itself.
 */
export class Dialog extends Component {
  state = { deaf: this.props.unasked };
  #dialog = createRef();
  #heading = createRef();

  componentDidMount() {
    this.#dialog.current.showModal();
    if (!this.props.unasked) return;
    // A stranger chooses when this opens: an Enter or a click that was meant for the page must not answer it.
    this.#heading.current.focus();
    this.timer = setTimeout(() => this.setState({ deaf: false }), STRAY_MS);
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.isGone = true;
    // Only a dialog that is closed gives the focus back; what had it may be gone by now.
    this.#dialog.current.close();
    if (document.activeElement === document.body) focusContent();
  }

  cancel = (event) => {
    event.preventDefault();
    if (!this.state.deaf) this.props.onClose();
  };

  /** A browser closes at a second Escape without asking. */
  closed = () => {
    if (!this.isGone) this.props.onClose();
  };

  render({ title, testid, unasked, children }, { deaf }) {
    const id = `${testid}-title`;
    return html`
      <dialog class="dialog" ref=${this.#dialog} aria-labelledby=${id} data-testid=${testid} onCancel=${this.cancel}
              onClose=${this.closed}>
        <h2 id=${id} class="dialog-title" tabindex=${unasked ? -1 : undefined} ref=${this.#heading}>${title}</h2>
        <div class="dialog-body" inert=${deaf}>${children}</div>
      </dialog>`;
  }
}

/** Puts a keyboard at the heading of what is shown, or at its beginning: not at the page's top. */
export function focusContent() {
  const place = document.querySelector("main h1[tabindex]") ?? document.querySelector("main");
  place?.focus({ preventScroll: true });
}
