/** The live connection: its state, the access token's remaining life, and renewals without a reconnect. */
import { countdown } from "./format.js";
import { Component, createRef, html } from "./html.js";

const RENEWED_SHOWN_MS = 4_000;

export class ConnectionCard extends Component {
  state = { remainingMs: 0, lifetimeMs: 0, renewed: false };
  #bar = createRef();

  componentDidMount() {
    const { client } = this.props;
    this.timer = setInterval(this.tick, 250);
    this.stop = client.on("reauthenticated", this.flash);
    this.tick();
  }

  componentWillUnmount() {
    clearInterval(this.timer);
    clearTimeout(this.flashTimer);
    this.stop();
  }

  tick = () => {
    const life = this.props.client.tokenLife();
    const share = life.lifetimeMs ? Math.min(life.remainingMs / life.lifetimeMs, 1) : 0;
    // Set through CSSOM: the Content-Security-Policy forbids style attributes.
    this.#bar.current.style.transform = `scaleX(${share.toFixed(4)})`;
    if (countdown(life.remainingMs) !== countdown(this.state.remainingMs)) this.setState(life);
  };

  flash = () => {
    clearTimeout(this.flashTimer);
    this.setState({ renewed: true });
    this.flashTimer = setTimeout(() => this.setState({ renewed: false }), RENEWED_SHOWN_MS);
    this.tick();
  };

  render({ connection, reauthentications }, { remainingMs, renewed }) {
    return html`
      <section class="card connection-card" aria-labelledby="link-title" data-testid="link-card">
        <h2 id="link-title">This connection</h2>
        <div class="token-life">
          <p class=${`token-life-label ${renewed ? "is-renewed" : ""}`} data-testid="token-label">
            ${renewed ? "Access token renewed in place" : "Access token is renewed in"}
          </p>
          <p class="token-life-time tabular" role="timer" aria-live="off" data-testid="token-countdown"
             data-remaining-ms=${Math.round(remainingMs)}>${countdown(remainingMs)}</p>
        </div>
        <div class=${`token-life-bar ${renewed ? "is-renewed" : ""}`} aria-hidden="true" data-testid="token-bar">
          <div class="token-life-bar-fill" ref=${this.#bar}></div>
        </div>
        <dl class="facts">
          <dt>Socket</dt>
          <dd><code data-testid="socket-id">${connection.socketId ?? "none"}</code></dd>
          <dt>Renewals</dt>
          <dd data-testid="reauth-count" data-count=${reauthentications}>${renewalSentence(reauthentications)}</dd>
        </dl>
      </section>`;
  }
}

/** @param {number} count */
function renewalSentence(count) {
  if (count === 0) return "Not needed yet";
  return `re-authenticated ${count} time${count === 1 ? "" : "s"}, same socket`;
}

const STATES = {
  idle: "Starting",
  restoring: "Opening",
  connecting: "Connecting",
  live: "Live",
  expired: "Renewing",
  waiting: "Reconnecting",
  "logged-out": "Logged out",
  ended: "Logged out",
};

/** Whether the service has closed the connection until the user asks for it again. */
export const isClosed = ({ state, code }) => state === "waiting" && code === "closing";

/** The state of the connection, announced to screen readers when it changes. */
export function ConnectionState({ connection }) {
  return html`
    <p class=${`pill is-${connection.state}`} role="status" data-testid="connection-state" data-state=${connection.state}
       title=${connection.code ? `Last error: ${connection.code}` : "State of the live connection"}>
      <span class="pill-dot" aria-hidden="true"></span>
      <span><span class="visually-hidden">Connection: </span>${isClosed(connection) ? "Closed" : STATES[connection.state]}</span>
    </p>`;
}
