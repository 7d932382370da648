/** New recovery codes. They are shown only once, so a dialog keeps them until they are saved, whatever view is behind it. */
import { Dialog } from "./dialog.js";
import { longDate } from "./format.js";
import { Component, html, render } from "./html.js";
import { saveFile } from "./save-file.js";

const FILE = "recovery-codes.txt";

/**
 * Shows the codes until they are put away, or the session ends.
 * @param {import("../vigil-client.js").VigilClient} client
 * @param {string[]} codes
 */
export function showRecoveryCodes(client, codes) {
  const place = document.body.appendChild(document.createElement("div"));
  const close = () => {
    stopListening();
    render(null, place);
    place.remove();
  };
  const stopListening = client.on("state", ({ state }) => {
    if (state === "ended" || state === "logged-out") close();
  });
  render(html`<${RecoveryCodes} client=${client} codes=${codes} onClose=${close} />`, place);
}

class RecoveryCodes extends Component {
  state = { result: "", isKept: false, isAsking: false };

  componentDidMount() {
    addEventListener("beforeunload", this.warn);
  }

  componentWillUnmount() {
    removeEventListener("beforeunload", this.warn);
  }

  warn = (event) => {
    if (this.state.isKept) return;
    event.preventDefault();
    event.returnValue = "";
  };

  download = () => {
    const { client, codes } = this.props;
    const head = `Recovery codes of ${client.user?.email ?? "your account"} at ${location.host}, ${longDate(client.serverNow())}.`;
    saveFile(FILE, `${head}\nEach code works once.\n\n${codes.join("\n")}\n`, "text/plain");
    this.setState({ isKept: true, result: `Saved as ${FILE}.` });
  };

  copy = async () => {
    try {
      await navigator.clipboard.writeText(this.props.codes.join("\n"));
      this.setState({ isKept: true, result: "Copied." });
    } catch {
      this.setState({ result: "Could not copy. Select the codes, or download them." });
    }
  };

  leave = () => {
    if (this.state.isKept || this.state.isAsking) this.props.onClose();
    else this.setState({ isAsking: true });
  };

  render({ codes, onClose }, { result, isAsking }) {
    return html`
      <${Dialog} title="Save your recovery codes" testid="recovery-codes" onClose=${this.leave}>
        <p>They let you log in without your other devices. They are shown only once, and each works once.</p>
        <ul class="codes tabular">${codes.map((code) => html`<li key=${code}><code>${code}</code></li>`)}</ul>
        <p class="result" role="status" data-testid="codes-result">${result}</p>
        ${isAsking ? html`
          <div class="card-actions" role="group" aria-labelledby="codes-question" key="question">
            <p id="codes-question" class="question-text">Close without saving? You cannot see these codes again.</p>
            <button class="button" type="button" data-testid="codes-stay" ref=${focusOnce}
                    onClick=${() => this.setState({ isAsking: false })}>Keep them open</button>
            <button class="button danger solid" type="button" data-testid="codes-discard" onClick=${onClose}>Close</button>
          </div>` : html`
          <div class="card-actions" key="actions">
            <button class="button" type="button" data-testid="download-codes" onClick=${this.download}>Download</button>
            <button class="button" type="button" data-testid="copy-codes" onClick=${this.copy}>Copy</button>
            <button class="button primary" type="button" data-testid="codes-kept" onClick=${onClose}>I have saved them</button>
          </div>`}
      <//>`;
  }
}

/** Focuses the safe answer, because the focused button was removed. */
const focusOnce = (button) => button?.focus();
