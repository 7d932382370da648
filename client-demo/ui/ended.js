/** The login of this device is over: who ended it, why, and the one way on. */
import { Component, createRef, html } from "./html.js";
import { DoorIcon } from "./icons.js";
import { clockTime, endReason, endTitle } from "./words.js";

export class Ended extends Component {
  #heading = createRef();

  componentDidMount() {
    this.#heading.current.focus();
  }

  render({ end, knownDevices, ownSessionId, onLogin }) {
    return html`
      <main class="ended" data-testid="ended" data-code=${end.code} data-reason=${end.reason ?? ""}>
        <div class="ended-card" role="alert">
          <div class="ended-icon"><${DoorIcon} /></div>
          <h1 tabindex="-1" ref=${this.#heading} data-testid="ended-title">
            ${endTitle(end, knownDevices, ownSessionId)}
          </h1>
          <p class="ended-reason" data-testid="ended-reason">${endReason(end)}</p>
          ${end.at && html`<p class="muted">At ${clockTime(end.at)}. Nothing more can be read or sent from here.</p>`}
          <button class="button primary" type="button" data-testid="login-again" onClick=${onLogin}>
            Log in again
          </button>
        </div>
      </main>`;
  }
}
