/** Ways in beside the password: a passkey, and the providers that this server knows. */
import { asVigilError } from "../vigil-rules.js";
import { Component, html } from "./html.js";
import { KeyIcon, PhoneIcon } from "./icons.js";
import { askPasskey, hasPasskeys } from "./webauthn.js";
import { errorSentence } from "./words.js";

/** Properties: `client`, `onAnswer(answer)` for a login that wants a second factor or is whole. */
export class OtherWays extends Component {
  state = { providers: [], busy: false, problem: "" };

  componentDidMount() {
    this.props.client.account.providers().then((providers) => this.setState({ providers }), () => undefined);
  }

  usePasskey = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    const { client, onAnswer } = this.props;
    try {
      const credential = await askPasskey(await client.passkeyLoginOptions());
      onAnswer(await client.loginWithPasskey(credential));
    } catch (error) {
      this.setState({ problem: errorSentence(asVigilError(error)) });
    } finally {
      this.setState({ busy: false });
    }
  };

  render({ withPasskeys, onPhone }, { providers, busy, problem }) {
    const passkeys = withPasskeys && hasPasskeys();
    if (!passkeys && !onPhone && providers.length === 0) return null;
    return html`
      <div class="other-ways">
        <p class="or muted"><span>or</span></p>
        ${passkeys && html`
          <button class="button wide" type="button" data-testid="passkey-login" aria-disabled=${busy}
                  onClick=${this.usePasskey}><${KeyIcon} />${busy ? "Waiting…" : "Log in with a passkey"}</button>`}
        ${onPhone && html`
          <button class="button wide" type="button" data-testid="to-phone" onClick=${onPhone}>
            <${PhoneIcon} />Log in with your phone</button>`}
        ${providers.map(({ id, name }) => html`
          <a key=${id} class="button wide" data-testid=${`provider-${id}`}
             href=${`/api/auth/oauth/${encodeURIComponent(id)}/start?delivery=cookie`}>Log in with ${name}</a>`)}
        <div class="form-problem" role="alert" data-testid="other-ways-error">${problem}</div>
      </div>`;
  }
}
