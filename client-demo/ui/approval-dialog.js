/** Asks whether to approve a login on another device, by choosing the number it shows. */
import { asVigilError } from "../vigil-errors.js";
import { deviceSoftware, placeName } from "./device-names.js";
import { Dialog } from "./dialog.js";
import { errorSentence } from "./error-messages.js";
import { countdown } from "./format.js";
import { Component, html } from "./html.js";

const PROBLEMS = { step_up_required: "The device was not approved. Confirm it’s you first." };

/**
 * Properties: `client`, `request` (the event), `onAnswer(answer)` sends the answer, `onClosed(text)` with null when
 * it was dismissed, `onDenied()` after a denial.
 */
export class ApprovalDialog extends Component {
  state = { busy: false, denying: false, problem: "" };

  componentDidMount() {
    this.timer = setInterval(() => this.tick(), 500);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  #left() {
    return Date.parse(this.props.request.expiresAt) - this.props.client.serverNow();
  }

  tick() {
    if (this.#left() <= 0) return this.props.onClosed("A new device asked for approval. The request expired.");
    this.forceUpdate();
  }

  answer = async (answer) => {
    if (this.state.busy) return;
    const { onAnswer, onClosed, onDenied } = this.props;
    this.setState({ busy: true, problem: "" });
    try {
      const { status, tryAgain } = await onAnswer(answer);
      if (tryAgain) return onClosed("You chose a wrong number for a new device.");
      onClosed(status === "approved" ? "You approved a new device." : "You denied a new device.");
      if (status === "denied") onDenied();
    } catch (error) {
      const refusal = asVigilError(error);
      if (refusal.code === "not_found") return onClosed("A new device asked for approval. The request has ended.");
      this.setState({ busy: false, problem: PROBLEMS[refusal.code] ?? errorSentence(refusal) });
    }
  };

  render({ request, onClosed }, { busy, denying, problem }) {
    const where = [placeName(request), request.ip].filter(Boolean).join(" · ");
    return html`
      <${Dialog} title="Are you logging in on another device?" testid="approval" unasked
                 onClose=${() => onClosed(null)}>
        <dl class="facts">
          <dt>Device</dt><dd data-testid="approval-device">${deviceSoftware(request) || "Unknown"}</dd>
          <dt>From</dt><dd>${where || "Unknown place"}</dd>
          <dt>Time left</dt><dd class="tabular">${countdown(this.#left())}</dd>
        </dl>
        ${request.afterWrongNumber ? html`
          <p class="notice is-warning" data-testid="approval-again">That number was wrong. The other device now shows a
            new one. Another wrong number denies the login.</p>
          <p>Choose the new number it shows:</p>` : html`<p>Choose the number it shows:</p>`}
        <div class="approval-choices">
          ${request.numbers.map((number) => html`
            <button key=${number} class="button approval-choice tabular" type="button" aria-disabled=${busy}
                    data-testid="approval-choice" onClick=${() => this.answer({ number })}>${number}</button>`)}
        </div>
        <div class="form-problem" role="alert">${problem}</div>
        ${denying ? html`
          <div class="card-actions" key="question" role="group" aria-label="Not me">
            <button class="button danger" type="button" data-testid="approval-deny" aria-disabled=${busy}
                    onClick=${() => this.answer({ deny: true })}>Deny</button>
            <button class="button danger solid" type="button" data-testid="approval-deny-all" aria-disabled=${busy}
                    onClick=${() => this.answer({ deny: true, endAll: true })}>Deny and log out all my devices</button>
            <button class="button" type="button" data-testid="approval-back" ref=${focusOnce}
                    onClick=${() => this.setState({ denying: false })}>Back</button>
          </div>` : html`
          <button class="button danger wide" type="button" data-testid="approval-not-me"
                  onClick=${() => this.setState({ denying: true })}>Not me</button>`}
      <//>`;
  }
}

/** Focuses the safe answer, because the focused button was removed. */
const focusOnce = (button) => button?.focus();
