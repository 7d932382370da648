/** Login methods other than the password: passkey, phone, and the buttons of the providers. */
import { passkeyErrorSentence } from "./error-messages.js";
import { Component, html } from "./html.js";
import { KeyIcon, PhoneIcon } from "./icons.js";
import { PasskeyHint, getPasskey, supportsPasskeys } from "./webauthn.js";

/**
 * Properties: `client`, `config`, `device()` (`{deviceName}` or empty), `onAnswer(answer)` for the answer of a login,
 * `onPhone()`.
 */
export class AlternativeLogins extends Component {
  state = { busy: false, problem: "" };

  usePasskey = async () => {
    if (this.state.busy) return;
    this.setState({ busy: true, problem: "" });
    const { client, device, onAnswer } = this.props;
    try {
      const credential = await getPasskey(await client.passkeyLoginOptions());
      onAnswer(await client.loginWithPasskey(credential, device()));
    } catch (error) {
      this.setState({ problem: passkeyErrorSentence(error) });
    } finally {
      this.setState({ busy: false });
    }
  };

  render({ config: { loginMethods }, onPhone }, { busy, problem }) {
    return html`
      <div class="alternative-logins">
        <p class="or muted"><span>or</span></p>
        ${!supportsPasskeys() ? html`<${PasskeyHint} />` : html`
          <button class="button wide" type="button" data-testid="passkey-login" aria-disabled=${busy}
                  onClick=${this.usePasskey}><${KeyIcon} />${busy ? "Waiting…" : "Log in with a passkey"}</button>`}
        ${loginMethods.phone && html`
          <button class="button wide" type="button" data-testid="to-phone" onClick=${onPhone}>
            <${PhoneIcon} />Log in with your phone</button>`}
        ${loginMethods.providers.map(({ id, name }) => html`
          <a key=${id} class="button wide" data-testid=${`provider-${id}`}
             href=${`/api/auth/oauth/${encodeURIComponent(id)}/start?delivery=cookie`}>Log in with ${name}</a>`)}
        <div class="form-problem" role="alert" data-testid="other-ways-error">${problem}</div>
      </div>`;
  }
}
