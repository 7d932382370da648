/** Asks for a proof before something that changes how somebody gets in. */
import { Dialog } from "./dialog.js";
import { Factors } from "./factors.js";
import { html } from "./html.js";

const PURPOSES = {
  account: "This changes how your account is protected, so it wants a proof.",
  approval: "Letting a new device in wants a proof that it is you who says so.",
};

/** Properties: `client`, `methods`, `purpose` (a name in `PURPOSES`), `onDone(proved)`. */
export function StepUpDialog({ client, methods, purpose, onDone }) {
  const prove = async (answer) => {
    await client.stepUp(answer);
    onDone(true);
  };
  return html`
    <${Dialog} title="Is it you?" testid="step-up" onClose=${() => onDone(false)}>
      <p class="muted">${PURPOSES[purpose]}</p>
      <${Factors} methods=${methods} submitLabel="Go on" onAnswer=${prove} passkeyOptions=${client.account.stepUpOptions} />
      <button class="button wide" type="button" data-testid="step-up-cancel" onClick=${() => onDone(false)}>
        Cancel</button>
    <//>`;
}
