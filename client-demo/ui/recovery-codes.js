/** New recovery codes, shown only once. */
import { Component, html } from "./html.js";

/** Properties: `codes`, `onKept()`. */
export class RecoveryCodes extends Component {
  state = { result: "" };

  copy = async () => {
    const copied = navigator.clipboard?.writeText(this.props.codes.join("\n")) ?? Promise.reject();
    this.setState({ result: await copied.then(() => "Copied.", () => "Could not copy: select the codes, or write them down.") });
  };

  render({ codes, onKept }, { result }) {
    return html`
      <div class="notice is-warning" key="codes">
        <p>Store these recovery codes where you can find them without your devices. They are shown only once.</p>
        <ul class="codes tabular" data-testid="recovery-codes">
          ${codes.map((code) => html`<li key=${code}><code>${code}</code></li>`)}
        </ul>
        <div class="card-actions">
          <button class="button small" type="button" data-testid="copy-codes" onClick=${this.copy}>Copy</button>
          <button class="button small" type="button" data-testid="codes-kept" onClick=${onKept}>I have saved them</button>
        </div>
        <p role="status">${result}</p>
      </div>`;
  }
}
