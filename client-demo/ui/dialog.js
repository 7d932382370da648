/** A dialog above the page: the browser keeps the focus in it, and gives it back where it was. */
import { Component, createRef, html } from "./html.js";

/** Properties: `title`, `testid`, `onClose` (Escape; the page takes the dialog away), `children`. */
export class Dialog extends Component {
  #dialog = createRef();

  componentDidMount() {
    this.#dialog.current.showModal();
  }

  cancel = (event) => {
    event.preventDefault();
    this.props.onClose();
  };

  render({ title, testid, children }) {
    const id = `${testid}-title`;
    return html`
      <dialog class="dialog" ref=${this.#dialog} aria-labelledby=${id} data-testid=${testid} onCancel=${this.cancel}>
        <div class="dialog-body">
          <h2 id=${id} class="dialog-title">${title}</h2>
          ${children}
        </div>
      </dialog>`;
  }
}
