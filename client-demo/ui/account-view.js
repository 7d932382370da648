/** The account's own page: everything that a person can change about how they get in. */
import { EmailSetting, PasswordSetting, ProfileSetting } from "./credential-settings.js";
import { DataSetting, SecurityLogSetting } from "./data-settings.js";
import { Component, createRef, html } from "./html.js";
import { IdentitiesSetting } from "./identities-setting.js";
import { PasskeysSetting } from "./passkeys-setting.js";
import { PhoneSetting } from "./phone-setting.js";
import { TwoStepSetting } from "./two-step-setting.js";

const SETTINGS = [
  ProfileSetting, PasswordSetting, EmailSetting, TwoStepSetting, PasskeysSetting, IdentitiesSetting,
  PhoneSetting, SecurityLogSetting, DataSetting,
];

/** Properties: `client`, `user`, `notice` ({tone, text} or empty), `onClose()`. */
export class AccountView extends Component {
  state = { passkeyChanges: 0 };
  #heading = createRef();
  /** Passkeys are factors too: the card of two-step login reads them anew. */
  #onPasskeys = () => this.setState(({ passkeyChanges }) => ({ passkeyChanges: passkeyChanges + 1 }));

  componentDidMount() {
    this.#heading.current.focus();
    // Another device may have changed it, and nothing tells of that. Unread, what is known stays.
    this.props.client.me().catch(() => undefined);
  }

  render({ user, notice, onClose, ...props }, { passkeyChanges }) {
    return html`
      <section class="account" aria-labelledby="account-title" data-testid="account-view">
        <header class="account-head">
          <h1 id="account-title" tabindex="-1" ref=${this.#heading}>Account</h1>
          <button class="button small" type="button" data-testid="account-close" onClick=${onClose}>Back</button>
        </header>
        <div role="status">
          ${notice.text && html`<p class=${`notice is-${notice.tone}`} data-testid="account-notice">${notice.text}</p>`}
        </div>
        <div class="settings">
          ${user && SETTINGS.map((Each) => html`<${Each} key=${Each.name} user=${user} ...${props}
                                            passkeyChanges=${passkeyChanges} onPasskeys=${this.#onPasskeys} />`)}
        </div>
      </section>`;
  }
}
