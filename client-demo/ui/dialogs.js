/** Dialogs that open without a user action: a step-up, and new devices that ask for approval, one at a time. */
import { ApprovalDialog } from "./approval-dialog.js";
import { html } from "./html.js";
import { StepUpDialog } from "./step-up-dialog.js";

/**
 * Properties: `client`, `config`, `stepUp`, `approvals` (the oldest is shown), `onAnswer(request, answer)`, `onDenied()`,
 * `onClosed(approvalId, text)`.
 */
export function Dialogs({ client, config, stepUp, approvals: [request], onAnswer, onDenied, onClosed }) {
  return html`
    ${request && html`
      <${ApprovalDialog} key=${request.approvalId} client=${client} request=${request}
                         onAnswer=${(answer) => onAnswer(request, answer)} onDenied=${onDenied}
                         onClosed=${(text) => onClosed(request.approvalId, text)} />`}
    ${stepUp && html`<${StepUpDialog} client=${client} config=${config} ...${stepUp} />`}`;
}
