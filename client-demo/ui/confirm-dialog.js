/** Asks before an action that cannot be undone. Cancel has the focus, so that a quick Enter changes nothing. */
import { Dialog } from "./dialog.js";
import { Component, createRef, html } from "./html.js";

/** Properties: `title`, `confirmLabel`, `onConfirm()`, `onCancel()`, `children`: what will happen; `busy`. */
export class ConfirmDialog extends Component {
  #cancel = createRef();

  componentDidMount() {
    this.#cancel.current.focus();
  }

  render({ title, confirmLabel, onConfirm, onCancel, busy, children }) {
    return html`
      <${Dialog} title=${title} testid="confirm" onClose=${onCancel}>
        ${children}
        <div class="dialog-actions">
          <button class="button" type="button" data-testid="confirm-no" ref=${this.#cancel} onClick=${onCancel}>
            Cancel</button>
          <button class="button danger solid" type="button" data-testid="confirm-yes" aria-disabled=${busy}
                  onClick=${() => !busy && onConfirm()}>${confirmLabel}</button>
        </div>
      <//>`;
  }
}
