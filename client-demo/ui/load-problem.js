/** Says what could not be loaded, and offers to try again. Tries by itself once the connection is back. */
import { Component, html } from "./html.js";

/** Properties: `client`, `text`, `onRetry()`. */
export class LoadProblem extends Component {
  componentDidMount() {
    this.stop = this.props.client.on("ready", () => this.props.onRetry());
  }

  componentWillUnmount() {
    this.stop();
  }

  render({ text, onRetry }) {
    return html`
      <div class="load-problem" role="alert" data-testid="load-problem">
        <p>${text}</p>
        <button class="button small" type="button" data-testid="try-again" onClick=${onRetry}>Try again</button>
      </div>`;
  }
}
