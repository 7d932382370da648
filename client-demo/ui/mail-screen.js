/** "Check your mail": a link was sent, to confirm a registration or to choose a new password. */
import { asVigilError } from "../vigil-errors.js";
import { errorSentence } from "./error-messages.js";
import { duration } from "./format.js";
import { Component, html } from "./html.js";
import { MailIcon } from "./icons.js";
import { OutboxHint } from "./outbox-hint.js";

/** Seconds before the mail can be sent again. */
const RESEND_PAUSE_S = 30;

/** What the screen says does not depend on whether the address is known. */
const PURPOSES = {
  registration: {
    text: (address) => html`If ${address} can be registered, a link was sent to it. Open the link, then log in here.`,
    lifetime: "verificationLinkMs",
    send: (account, email) => account.resendVerification(email),
    sentAgain: "Sent again. Only the latest link works.",
  },
  reset: {
    text: (address) => html`If ${address} has an account, a link was sent to it. Open the link to choose a new password.`,
    lifetime: "passwordResetLinkMs",
    send: (account, email) => account.forgotPassword(email),
    sentAgain: "Sent again.",
  },
};

/** Properties: `client`, `config`, `email`, `purpose` (a name in `PURPOSES`), `onScreen(screen)`. */
export class MailScreen extends Component {
  state = { pause: RESEND_PAUSE_S, result: "" };

  componentDidMount() {
    this.timer = setInterval(() => this.setState(({ pause }) => ({ pause: Math.max(pause - 1, 0) })), 1000);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  resend = async () => {
    if (this.state.pause) return;
    const { client, email, purpose } = this.props;
    const { send, sentAgain } = PURPOSES[purpose];
    try {
      await send(client.account, email);
      this.setState({ pause: RESEND_PAUSE_S, result: sentAgain });
    } catch (error) {
      this.setState({ result: `Not sent. ${errorSentence(asVigilError(error))}` });
    }
  };

  render({ config, email, purpose, onScreen }, { pause, result }) {
    const { text, lifetime } = PURPOSES[purpose];
    const life = config.lifetimes[lifetime];
    return html`
      <div class="mail" data-testid="check-mail">
        <div class="mail-icon"><${MailIcon} /></div>
        <p>${text(html`<strong class="breakable">${email}</strong>`)}${life && ` The link expires in ${duration(life)}.`}</p>
        <${OutboxHint} />
        <button class="button primary wide" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>
          Go to log in
        </button>
        <button class="button wide tabular" type="button" data-testid="resend" aria-disabled=${pause > 0}
                onClick=${this.resend}>${pause ? `Send again in ${pause} s` : "Send again"}</button>
        <p class="field-note" role="status" data-testid="resend-result">${result}</p>
      </div>`;
  }
}
