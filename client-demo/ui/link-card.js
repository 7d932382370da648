/** This connection: how long its access token lives, and that it is renewed without a reconnect. */
import { Component, createRef, html } from "./html.js";
import { countdown } from "./words.js";

const RENEWED_SHOWN_MS = 4_000;

export class LinkCard extends Component {
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

  render({ link, reauthentications }, { remainingMs, renewed }) {
    return html`
      <section class="card link-card" aria-labelledby="link-title" data-testid="link-card">
        <h2 id="link-title">This connection</h2>
        <div class="life">
          <p class=${`life-label ${renewed ? "is-renewed" : ""}`} data-testid="token-label">
            ${renewed ? "Access token renewed in place" : "Access token is renewed within"}
          </p>
          <p class="life-time tabular" role="timer" aria-live="off" data-testid="token-countdown"
             data-remaining-ms=${Math.round(remainingMs)}>${countdown(remainingMs)}</p>
        </div>
        <div class=${`life-bar ${renewed ? "is-renewed" : ""}`} aria-hidden="true" data-testid="token-bar">
          <div class="life-bar-fill" ref=${this.#bar}></div>
        </div>
        <dl class="facts">
          <dt>Socket</dt>
          <dd><code data-testid="socket-id">${link.socketId ?? "none"}</code></dd>
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

/** The state of the connection in one word, announced when it changes. */
export function LinkPill({ link }) {
  return html`
    <p class=${`pill is-${link.state}`} role="status" data-testid="connection-state" data-state=${link.state}
       title=${link.code ? `Last refusal: ${link.code}` : "State of the live connection"}>
      <span class="pill-dot" aria-hidden="true"></span>
      <span><span class="visually-hidden">Connection: </span>${STATES[link.state]}</span>
    </p>`;
}
