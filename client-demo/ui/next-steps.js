/** What to do after a login that was not the user's: buttons to the settings that keep others out. */
import { asVigilError } from "../vigil-errors.js";
import { errorSentence } from "./error-messages.js";
import { plural } from "./format.js";
import { Component, html } from "./html.js";

/** Properties: `client`, `onPassword()` and `onTwoStep()` lead to those settings. */
export class NextSteps extends Component {
  state = { lacksTwoStep: false, isBusy: false, result: { text: "", failed: false } };

  componentDidMount() {
    const offer = ({ methods }) => this.setState({ lacksTwoStep: methods.length === 0 });
    this.props.client.account.factors().then(offer, () => undefined);
  }

  endOthers = async () => {
    if (this.state.isBusy) return;
    this.setState({ isBusy: true, result: { text: "", failed: false } });
    try {
      const { revoked } = await this.props.client.revokeOthers();
      const text = revoked ? `${plural(revoked, "other device")} logged out.` : "No other device is logged in.";
      this.setState({ result: { text, failed: false } });
    } catch (error) {
      this.setState({ result: { text: errorSentence(asVigilError(error)), failed: true } });
    } finally {
      this.setState({ isBusy: false });
    }
  };

  render({ onPassword, onTwoStep }, { lacksTwoStep, isBusy, result }) {
    return html`
      <div class="card-actions" role="group" aria-label="Next steps" data-testid="next-steps">
        <button class="button primary" type="button" data-testid="next-password" onClick=${onPassword}>
          Change password</button>
        <button class="button danger" type="button" data-testid="next-log-out" aria-disabled=${isBusy}
                onClick=${this.endOthers}>Log out all other devices</button>
        ${lacksTwoStep && html`
          <button class="button" type="button" data-testid="next-two-step" onClick=${onTwoStep}>
            Turn on two-step verification</button>`}
      </div>
      <p class=${`result ${result.failed ? "is-error" : ""}`} role="status" data-testid="next-result">${result.text}</p>`;
  }
}
