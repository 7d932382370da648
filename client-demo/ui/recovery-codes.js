/** Recovery codes, which are shown once: copied or written down before they go out of sight. */
import { Component, html } from "./html.js";

/** Properties: `codes`, `onKept()`. */
export class RecoveryCodes extends Component {
  state = { result: "" };

  copy = async () => {
    const copied = navigator.clipboard?.writeText(this.props.codes.join("\n")) ?? Promise.reject();
    this.setState({ result: await copied.then(() => "Copied.", () => "Not copied: select them, or write them down.") });
  };

  render({ codes, onKept }, { result }) {
    return html`
      <div class="notice is-warning" key="codes">
        <p>Keep these recovery codes where you find them without your devices. They are shown only now.</p>
        <ul class="codes tabular" data-testid="recovery-codes">
          ${codes.map((code) => html`<li key=${code}><code>${code}</code></li>`)}
        </ul>
        <div class="card-actions">
          <button class="button small" type="button" data-testid="copy-codes" onClick=${this.copy}>Copy</button>
          <button class="button small" type="button" data-testid="codes-kept" onClick=${onKept}>I have kept them</button>
        </div>
        <p role="status">${result}</p>
      </div>`;
  }
}
