/** Asks the user's other devices to approve this login, and shows the number to choose there. */
import { asVigilError } from "../vigil-errors.js";
import { errorSentence } from "./error-messages.js";
import { Component, html } from "./html.js";

const RATE_LIMITED = "Not available right now: a login was denied, or approval was requested too often. "
  + "Use another method.";

/** Properties: `waiting` (a promise of the `WaitingLogin`), `onApproved()`, `onDenied()`, `onOver()`. */
export class ApprovalRequest extends Component {
  state = { number: null, problem: "", expired: false };
  #isGone = false;

  componentDidMount() {
    this.begin();
  }

  componentWillUnmount() {
    this.#isGone = true;
  }

  begin = async () => {
    this.setState({ number: null, problem: "", expired: false });
    try {
      const waiting = await this.props.waiting;
      const approval = await waiting.askApproval();
      this.setState({ number: approval.number });
      const status = await waiting.outcome(approval);
      if (!this.#isGone) await this.#settle(status);
    } catch (error) {
      if (!this.#isGone) this.#failed(asVigilError(error));
    }
  };

  #settle(status) {
    if (status === "approved") return this.props.onApproved();
    if (status === "denied") return this.props.onDenied();
    this.setState({ number: null, problem: "No device answered.", expired: true });
  }

  #failed(refusal) {
    if (refusal.code === "invalid_token") return this.props.onOver();
    if (refusal.code === "rate_limited") {
      return this.setState({ number: null, expired: false, problem: RATE_LIMITED });
    }
    const none = refusal.code === "conflict";
    const problem = none ? "None of your devices is online to approve this login." : errorSentence(refusal);
    this.setState({ number: null, problem, expired: true });
  }

  render(_, { number, problem, expired }) {
    return html`
      <div class="approval-request" role="status">
        ${number !== null && html`
          <p>On a device where you are logged in, choose this number:</p>
          <p class="approval-number tabular" data-testid="approval-number">${number}</p>
          <p class="muted">Waiting for the answer…</p>`}
        ${number === null && !problem && html`<p class="muted">Asking your devices…</p>`}
        ${problem && html`<p class="form-problem" data-testid="form-error">${problem}</p>`}
      </div>
      ${expired && html`
        <button class="button primary wide" type="button" data-testid="ask-again" onClick=${this.begin}>
          Ask again</button>`}`;
  }
}
