/** Shown when the session ended: who ended it, why, and a button to log in again. */
import { clockTime } from "./format.js";
import { Component, createRef, html } from "./html.js";
import { LogOutIcon } from "./icons.js";
import { logoutReason, logoutTitle } from "./logout-messages.js";

export class LoggedOutView extends Component {
  #heading = createRef();

  componentDidMount() {
    this.#heading.current.focus();
  }

  render({ end, config, knownDevices, ownSessionId, onLogin }) {
    return html`
      <main class="logged-out" data-testid="ended" data-code=${end.code} data-reason=${end.reason ?? ""}>
        <div class="logged-out-card" role="alert">
          <div class="logged-out-icon"><${LogOutIcon} /></div>
          <h1 tabindex="-1" ref=${this.#heading} data-testid="ended-title">
            ${logoutTitle(end, knownDevices, ownSessionId)}
          </h1>
          <p class="logged-out-reason" data-testid="ended-reason">${logoutReason(end, config)}</p>
          ${end.at && html`<p class="muted">At ${clockTime(end.at)}. This device can no longer read or send anything.</p>`}
          <button class="button primary" type="button" data-testid="login-again" onClick=${onLogin}>
            Log in again
          </button>
        </div>
      </main>`;
  }
}
