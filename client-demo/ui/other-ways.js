/** Ways in beside the password: a passkey, and the providers that this server knows. */
import { Component, html } from "./html.js";
import { KeyIcon, PhoneIcon } from "./icons.js";
import { PasskeysElsewhere, askPasskey, hasPasskeys } from "./webauthn.js";
import { passkeyProblem } from "./words.js";

/** Properties: `client`, `named()` the device's name if it has one, `onAnswer(answer)` for a login that wants a
 * second factor or is whole, `onPhone()`. */
export class OtherWays extends Component {
  state = { providers: [], phoneLogin: false, busy: false, problem: "" };

  componentDidMount() {
    const { client } = this.props;
    client.ask("GET", "/oauth/providers").then((ways) => this.setState(ways), () => undefined);
  }

  usePasskey = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    const { client, named, onAnswer } = this.props;
    try {
      const credential = await askPasskey(await client.passkeyLoginOptions());
      onAnswer(await client.loginWithPasskey(credential, named()));
    } catch (error) {
      this.setState({ problem: passkeyProblem(error) });
    } finally {
      this.setState({ busy: false });
    }
  };

  render({ onPhone }, { providers, phoneLogin, busy, problem }) {
    return html`
      <div class="other-ways">
        <p class="or muted"><span>or</span></p>
        ${!hasPasskeys() ? html`<${PasskeysElsewhere} />` : html`
          <button class="button wide" type="button" data-testid="passkey-login" aria-disabled=${busy}
                  onClick=${this.usePasskey}><${KeyIcon} />${busy ? "Waiting…" : "Log in with a passkey"}</button>`}
        ${phoneLogin && html`
          <button class="button wide" type="button" data-testid="to-phone" onClick=${onPhone}>
            <${PhoneIcon} />Log in with your phone</button>`}
        ${providers.map(({ id, name }) => html`
          <a key=${id} class="button wide" data-testid=${`provider-${id}`}
             href=${`/api/auth/oauth/${encodeURIComponent(id)}/start?delivery=cookie`}>Log in with ${name}</a>`)}
        <div class="form-problem" role="alert" data-testid="other-ways-error">${problem}</div>
      </div>`;
  }
}
