/** Banner across the page while the account is scheduled for deletion. */
import { asVigilError } from "../vigil-errors.js";
import { errorSentence } from "./error-messages.js";
import { longDate } from "./format.js";
import { Component, html } from "./html.js";

/** Properties: `client`, `user`. */
export class DeletionBanner extends Component {
  state = { problem: "" };

  keep = async () => {
    try {
      await this.props.client.account.restore();
    } catch (error) {
      this.setState({ problem: errorSentence(asVigilError(error)) });
    }
  };

  render({ user }, { problem }) {
    if (!user?.deletionAt) return null;
    return html`
      <div class="banner" data-testid="deletion-banner">
        Your account will be deleted on ${longDate(user.deletionAt)}. ${problem}${" "}
        <button class="button small" type="button" data-testid="keep-account" onClick=${this.keep}>
          Keep my account</button>
      </div>`;
  }
}
