/** Asks the user's other devices to approve this login, and shows the number to choose there. */
import { asVigilError } from "../vigil-errors.js";
import { errorSentence } from "./error-messages.js";
import { duration } from "./format.js";
import { Component, html } from "./html.js";

/** @param {number|null} retryAfterMs */
const rateLimited = (retryAfterMs) => `Login approval is off${retryAfterMs === null ? "" : ` for ${duration(retryAfterMs)}`}: `
  + "a login was denied, or approval was requested too often. Use another method.";

/**
 * Properties: `waiting` (a promise of the `WaitingLogin`), `onApproved()`, `onOver()`, and `onDenied(retryAfterMs)` with
 * the time until approval can be requested again, if the server says it.
 */
export class ApprovalRequest extends Component {
  state = { number: null, isSecond: false, problem: "", expired: false };
  #isGone = false;

  componentDidMount() {
    this.begin();
  }

  componentWillUnmount() {
    this.#isGone = true;
  }

  begin = async () => {
    this.setState({ number: null, isSecond: false, problem: "", expired: false });
    try {
      const waiting = await this.props.waiting;
      const approval = await waiting.askApproval({ canRenumber: true });
      this.setState({ number: approval.number });
      const result = await waiting.result(approval, (number) => this.setState({ number, isSecond: true }));
      if (!this.#isGone) await this.#settle(result);
    } catch (error) {
      if (!this.#isGone) this.#failed(asVigilError(error));
    }
  };

  #settle({ status, retryAfterMs }) {
    if (status === "approved") return this.props.onApproved();
    if (status === "denied") return this.props.onDenied(retryAfterMs);
    this.setState({ number: null, problem: "No device answered.", expired: true });
  }

  #failed(refusal) {
    if (refusal.code === "invalid_token") return this.props.onOver();
    if (refusal.code === "rate_limited") {
      return this.setState({ number: null, expired: false, problem: rateLimited(refusal.retryAfterMs) });
    }
    const none = refusal.code === "conflict";
    const problem = none ? "None of your devices is online to approve this login." : errorSentence(refusal);
    this.setState({ number: null, problem, expired: true });
  }

  render(_, { number, isSecond, problem, expired }) {
    return html`
      <div class="approval-request" role="status">
        ${number !== null && html`
          <p>${isSecond ? "A wrong number was chosen. On that device, choose this new number:"
            : "On a device where you are logged in, choose this number:"}</p>
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
