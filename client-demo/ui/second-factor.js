/** The second half of a login: a factor, or another device that lets this one in, before the time is over. */
import { asVigilError } from "../vigil-rules.js";
import { Factors } from "./factors.js";
import { Component, html } from "./html.js";
import { counted, countdown, errorSentence } from "./words.js";

const warning = (text) => ({ tone: "warning", text });
const OVER = warning("That login is over. Log in again.");
const TOO_LATE = warning("That took too long. Log in again.");
const TOO_MANY = warning("Too many wrong codes. Log in again.");
const ENDS = { timeout: TOO_LATE, too_many_tries: TOO_MANY };
const DENIED = warning("The other device said no. If that was not you, change your password.");

const NOT_NOW = "Not available for a while: a login was denied, or too many were asked about. Use another way.";

/** So many wrong answers end a login. */
const TRIES = 5;

/** When to say that time is short: enough to open an app and type a code. */
const SHORT_MS = 30_000;

/**
 * Properties: `client`, `mfa` ({mfaToken, methods, expiresAt}), `email`, `onScreen(screen, email, notice)`,
 * `onLoggedIn()`.
 */
export class SecondFactorScreen extends Component {
  state = { deadline: null, triesLeft: TRIES };
  #isGone = false;
  /** Begun at once, so that the time is shown while the person still looks for their phone. */
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
      const triesLeft = this.state.triesLeft - 1;
      if (triesLeft === 0) return this.#startOver(TOO_MANY);
      this.setState({ triesLeft });
      throw error;
    }
    this.props.onLoggedIn();
  };

  #startOver(notice) {
    const { email, onScreen } = this.props;
    if (!this.#isGone) onScreen("login", email, notice);
  }

  /** Made once: a new function would be another component, and ask the devices anew. */
  Approval = () => html`
    <${ApprovalWait} waiting=${this.#waiting} onApproved=${() => this.finish({ method: "approval" })}
                     onOver=${() => this.#startOver(OVER)} onDenied=${() => this.#startOver(DENIED)} />`;

  triesLeft = ({ code }) => code === "invalid_code" && html`
    <p data-testid="tries-left">${counted(this.state.triesLeft, "try", "tries")} left.</p>`;

  passkeyOptions = async () => (await this.#waiting).passkeyOptions();

  render({ client, mfa }, { deadline }) {
    const left = deadline ? deadline - client.serverNow() : null;
    return html`
      ${left !== null && html`
        <p class=${`mfa-deadline ${left < SHORT_MS ? "is-short" : ""}`} role="timer" aria-live="off"
           data-testid="mfa-deadline">
          Time left for this step: <span class="tabular">${countdown(left)}</span></p>`}
      <${Factors} methods=${mfa.methods} submitLabel="Log in" onAnswer=${this.finish} Approval=${this.Approval}
                  explain=${this.triesLeft} passkeyOptions=${this.passkeyOptions} />
      <p class="entrance-switch">
        <button class="link" type="button" data-testid="to-login" onClick=${() => this.#startOver(null)}>
          Start over</button>
      </p>`;
  }
}

/** Shows the number and waits for the answer, through lost connections too. */
class ApprovalWait extends Component {
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
    this.setState({ number: null, problem: "Nobody answered.", expired: true });
  }

  #failed(refusal) {
    if (refusal.code === "invalid_token") return this.props.onOver();
    if (refusal.code === "rate_limited") {
      return this.setState({ number: null, expired: false, problem: NOT_NOW });
    }
    const none = refusal.code === "conflict";
    const problem = none ? "None of your devices can be asked now." : errorSentence(refusal);
    this.setState({ number: null, problem, expired: true });
  }

  render(_, { number, problem, expired }) {
    return html`
      <div class="approval-wait" role="status">
        ${number !== null && html`
          <p>Take a device that you are logged in on, and pick this number there:</p>
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
