/** The second step of a login: a second factor or approval on another device, within a time limit. */
import { asVigilError } from "../vigil-errors.js";
import { ApprovalRequest } from "./approval-request.js";
import { FactorForm } from "./factor-form.js";
import { countdown, duration, plural } from "./format.js";
import { Component, html } from "./html.js";

const warning = (text) => ({ tone: "warning", text });
const OVER = warning("This login has ended. Log in again.");
const TOO_LATE = warning("That took too long. Log in again.");
const TOO_MANY = warning("Too many wrong codes. Log in again.");
const ENDS = { timeout: TOO_LATE, too_many_tries: TOO_MANY };
/** @param {number} [retryAfterMs] for how long no approval can be requested */
const denied = (retryAfterMs) => warning("The login was denied on the other device."
  + `${retryAfterMs ? ` Login approval is off for ${duration(retryAfterMs)}: use another method.` : ""}`
  + " If you did not deny it, change your password.");

/** Below this the remaining time is highlighted: about what it takes to open an app and type a code. */
const SHORT_MS = 30_000;

/**
 * Properties: `client`, `config`, `mfa` ({mfaToken, methods, expiresAt}), `email`, `onScreen(screen, email, notice)`,
 * `onLoggedIn()`.
 */
export class SecondFactorScreen extends Component {
  state = { deadline: null, wrongAnswers: 0 };
  #isGone = false;
  /** Opened at once, so that the remaining time is shown from the start. */
  #waiting = this.props.client.waitForFactor(this.props.mfa, {
    onDeadline: (deadline) => this.setState({ deadline }),
    onOver: (code) => this.#startOver(ENDS[code] ?? OVER),
  });

  componentDidMount() {
    this.timer = setInterval(() => this.tick(), 500);
  }

  componentWillUnmount() {
    this.#isGone = true;
    clearInterval(this.timer);
    this.#waiting.then((waiting) => waiting.close(), () => undefined);
  }

  tick() {
    const { deadline } = this.state;
    if (deadline && deadline <= this.props.client.serverNow()) this.#startOver(TOO_LATE);
    else this.forceUpdate();
  }

  finish = async (answer) => {
    try {
      await (await this.#waiting).finish(answer);
    } catch (error) {
      const { code } = asVigilError(error);
      if (code === "invalid_token") return this.#startOver(OVER);
      if (code !== "invalid_code") throw error;
      const wrongAnswers = this.state.wrongAnswers + 1;
      if (wrongAnswers === this.props.config.tries.secondFactor) return this.#startOver(TOO_MANY);
      this.setState({ wrongAnswers });
      throw error;
    }
    this.props.onLoggedIn();
  };

  #startOver(notice) {
    const { email, onScreen } = this.props;
    if (!this.#isGone) onScreen("login", email, notice);
  }

  /** Created once: a new function would be a new component, which would ask the devices again. */
  Approval = () => html`
    <${ApprovalRequest} waiting=${this.#waiting} onApproved=${() => this.finish({ method: "approval" })}
                        onOver=${() => this.#startOver(OVER)} onDenied=${(retryAfterMs) => this.#startOver(denied(retryAfterMs))} />`;

  triesLeft = ({ code }) => {
    const { secondFactor: tries } = this.props.config.tries;
    return code === "invalid_code" && tries && html`
      <p data-testid="tries-left">${plural(tries - this.state.wrongAnswers, "try", "tries")} left.</p>`;
  };

  passkeyOptions = async () => (await this.#waiting).passkeyOptions();

  render({ client, config, mfa }, { deadline }) {
    const left = deadline ? deadline - client.serverNow() : null;
    return html`
      ${left !== null && html`
        <p class=${`mfa-deadline ${left < SHORT_MS ? "is-short" : ""}`} role="timer" aria-live="off"
           data-testid="mfa-deadline">
          Time left for this step: <span class="tabular">${countdown(left)}</span></p>`}
      <${FactorForm} config=${config} methods=${mfa.methods} submitLabel="Log in" onAnswer=${this.finish}
                     Approval=${this.Approval} explain=${this.triesLeft} passkeyOptions=${this.passkeyOptions} />
      <p class="login-switch">
        <button class="link" type="button" data-testid="to-login" onClick=${() => this.#startOver(null)}>
          Start over</button>
      </p>`;
  }
}
