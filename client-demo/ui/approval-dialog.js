/** A new device waits to be let in by this one: which number does it show? */
import { asVigilError } from "../vigil-rules.js";
import { Dialog } from "./dialog.js";
import { Component, html } from "./html.js";
import { countdown, deviceSoftware, errorSentence, placeName } from "./words.js";

const PROBLEMS = { step_up_required: "The device is not let in: that wants a proof that it is you." };

/**
 * Properties: `client`, `request` (the event), `onAnswer(answer)` that sends it, `onClosed(text)`, without a text when
 * it is put away.
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
    if (this.#left() <= 0) return this.props.onClosed("A new device asked to be let in. Nobody answered in time.");
    this.forceUpdate();
  }

  answer = async (answer) => {
    if (this.state.busy) return;
    const { onAnswer, onClosed } = this.props;
    this.setState({ busy: true, problem: "" });
    try {
      const { status } = await onAnswer(answer);
      onClosed(status === "approved" ? "You let a new device in." : "You turned a new device away.");
    } catch (error) {
      const refusal = asVigilError(error);
      if (refusal.code === "not_found") return onClosed("A new device asked to be let in; that is over.");
      this.setState({ busy: false, problem: PROBLEMS[refusal.code] ?? errorSentence(refusal) });
    }
  };

  render({ request, onClosed }, { busy, denying, problem }) {
    const where = [placeName(request), request.ip].filter(Boolean).join(" · ");
    return html`
      <${Dialog} title="Are you logging in on another device?" testid="approval" unasked
                 onClose=${() => onClosed(null)}>
        <dl class="facts">
          <dt>Device</dt><dd data-testid="approval-device">${deviceSoftware(request) || request.device?.name || "Unknown"}</dd>
          <dt>From</dt><dd>${where || "Unknown place"}</dd>
          <dt>Time left</dt><dd class="tabular">${countdown(this.#left())}</dd>
        </dl>
        <p>Pick the number that it shows:</p>
        <div class="approval-choices">
          ${request.numbers.map((number) => html`
            <button key=${number} class="button approval-choice tabular" type="button" aria-disabled=${busy}
                    data-testid="approval-choice" onClick=${() => this.answer({ number })}>${number}</button>`)}
        </div>
        <div class="form-problem" role="alert">${problem}</div>
        ${denying ? html`
          <div class="card-actions" key="question" role="group" aria-label="It is not me">
            <button class="button danger" type="button" data-testid="approval-deny" aria-disabled=${busy}
                    onClick=${() => this.answer({ deny: true })}>Turn it away</button>
            <button class="button danger solid" type="button" data-testid="approval-deny-all" aria-disabled=${busy}
                    onClick=${() => this.answer({ deny: true, endAll: true })}>Turn it away and end all my sessions</button>
            <button class="button" type="button" data-testid="approval-back" ref=${focusOnce}
                    onClick=${() => this.setState({ denying: false })}>Back</button>
          </div>` : html`
          <button class="button danger wide" type="button" data-testid="approval-not-me"
                  onClick=${() => this.setState({ denying: true })}>Not me</button>`}
      <//>`;
  }
}

/** The button that opened the question is gone: the focus goes to the answer that ends nothing. */
const focusOnce = (button) => button?.focus();
