/** The second half of a login: a factor, or another device that lets this one in. */
import { asVigilError } from "../vigil-rules.js";
import { Factors } from "./factors.js";
import { Component, html } from "./html.js";
import { errorSentence } from "./words.js";

const STATUS_TIMEOUT_MS = 30_000;
const RETRY_MS = 2_000;

const OVER = { tone: "warning", text: "That took too long, or too many answers were wrong. Log in again." };
const DENIED = { tone: "warning", text: "The other device said no. If that was not you, change your password." };

/** Properties: `client`, `mfa` ({mfaToken, methods}), `email`, `onScreen(screen, email, notice)`, `onLoggedIn()`. */
export class SecondFactorScreen extends Component {
  finish = async (answer) => {
    const { client, mfa, onLoggedIn } = this.props;
    try {
      await client.finishLogin(mfa.mfaToken, answer);
    } catch (error) {
      if (asVigilError(error).code !== "invalid_token") throw error;
      return this.#startOver(OVER);
    }
    onLoggedIn();
  };

  #startOver(notice) {
    const { email, onScreen } = this.props;
    onScreen("login", email, notice);
  }

  /** Made once: a new function would be another component, and ask the devices anew. */
  Approval = () => html`
    <${ApprovalWait} client=${this.props.client} mfaToken=${this.props.mfa.mfaToken}
                     onApproved=${() => this.finish({ method: "approval" })}
                     onOver=${() => this.#startOver(OVER)} onDenied=${() => this.#startOver(DENIED)} />`;

  render({ client, mfa }) {
    return html`
      <${Factors} methods=${mfa.methods} submitLabel="Log in" onAnswer=${this.finish} Approval=${this.Approval}
                  passkeyOptions=${() => client.passkeyLoginOptions(mfa.mfaToken)} />
      <p class="entrance-switch">
        <button class="link" type="button" data-testid="to-login" onClick=${() => this.#startOver(null)}>
          Start over</button>
      </p>`;
  }
}

/** Shows the number and waits for the answer, through lost connections too. */
class ApprovalWait extends Component {
  state = { number: null, problem: "", expired: false };
  #leaving = new AbortController();

  componentDidMount() {
    this.begin();
  }

  componentWillUnmount() {
    this.#leaving.abort();
  }

  begin = async () => {
    this.setState({ number: null, problem: "", expired: false });
    try {
      const { number } = await this.#ask("/approvals");
      this.setState({ number });
      await this.#settle(await this.#outcome());
    } catch (error) {
      if (this.#leaving.signal.aborted) return;
      const refusal = asVigilError(error);
      if (refusal.code === "invalid_token") return this.props.onOver();
      const none = refusal.code === "conflict";
      const problem = none ? "None of your devices can be asked now." : errorSentence(refusal);
      this.setState({ number: null, problem, expired: true });
    }
  };

  #ask(path, options) {
    const { signal } = this.#leaving;
    return this.props.client.ask("POST", path, { mfaToken: this.props.mfaToken }, { ...options, signal });
  }

  async #outcome() {
    for (;;) {
      try {
        const { status } = await this.#ask("/approvals/status", { timeoutMs: STATUS_TIMEOUT_MS });
        if (status !== "pending") return status;
      } catch (error) {
        if (this.#leaving.signal.aborted || !asVigilError(error).retryable) throw error;
        await new Promise((resolve) => { setTimeout(resolve, asVigilError(error).retryAfterMs ?? RETRY_MS); });
      }
    }
  }

  #settle(status) {
    if (status === "approved") return this.props.onApproved();
    if (status === "denied") return this.props.onDenied();
    this.setState({ number: null, problem: "Nobody answered.", expired: true });
  }

  render(_, { number, problem, expired }) {
    return html`
      <div class="approval-wait" role="status">
        ${number !== null && html`
          <p>Take a device that you are logged in on, and pick this number there:</p>
          <p class="approval-number tabular" data-testid="approval-number">${number}</p>
          <p class="muted">Waiting for the answer…</p>`}
        ${number === null && !expired && html`<p class="muted">Asking your devices…</p>`}
        ${problem && html`<p class="form-problem" data-testid="form-error">${problem}</p>`}
      </div>
      ${expired && html`
        <button class="button primary wide" type="button" data-testid="ask-again" onClick=${this.begin}>
          Ask again</button>`}`;
  }
}
