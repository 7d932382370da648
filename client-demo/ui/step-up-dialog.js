/** Step-up: asks for a factor before a sensitive change. */
import { Dialog } from "./dialog.js";
import { FactorForm } from "./factor-form.js";
import { html } from "./html.js";

const PURPOSES = {
  account: "This changes how your account is protected.",
  approval: "Confirm it’s you to let this device in.",
};

/** Properties: `client`, `config`, `methods`, `purpose` (a name in `PURPOSES`), `onDone(isProved)`. */
export function StepUpDialog({ client, config, methods, purpose, onDone }) {
  const prove = async (answer) => {
    await client.stepUp(answer);
    onDone(true);
  };
  return html`
    <${Dialog} title="Confirm it’s you" testid="step-up" onClose=${() => onDone(false)}>
      <p class="muted">${PURPOSES[purpose]}</p>
      <${FactorForm} config=${config} methods=${methods} submitLabel="Continue" onAnswer=${prove}
                     passkeyOptions=${client.account.stepUpOptions} />
      <button class="button wide" type="button" data-testid="step-up-cancel" onClick=${() => onDone(false)}>
        Cancel</button>
    <//>`;
}
