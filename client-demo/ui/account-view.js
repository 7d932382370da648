/** The account page: one card for each setting. */
import { AccountDataSetting } from "./account-data-setting.js";
import { AccountHistorySetting } from "./account-history-setting.js";
import { EmailSetting } from "./email-setting.js";
import { Component, createRef, html } from "./html.js";
import { IdentitiesSetting } from "./identities-setting.js";
import { LoadProblem } from "./load-problem.js";
import { NextSteps } from "./next-steps.js";
import { PasskeysSetting } from "./passkeys-setting.js";
import { PasswordSetting } from "./password-setting.js";
import { PhoneSetting } from "./phone-setting.js";
import { ProfileSetting } from "./profile-setting.js";
import { TwoStepSetting } from "./two-step-setting.js";

const SETTINGS = [
  ProfileSetting, PasswordSetting, EmailSetting, TwoStepSetting, PasskeysSetting, IdentitiesSetting,
  PhoneSetting, AccountHistorySetting, AccountDataSetting,
];

/**
 * Properties: `client`, `config`, `user`, `notice` ({tone, text} or null; `isAlarm` offers what keeps others out),
 * `onClose()`.
 */
export class AccountView extends Component {
  state = { passkeyChanges: 0, isMissing: false };
  #heading = createRef();
  #password = createRef();
  #twoStep = createRef();
  /** Passkeys are second factors too: the two-step card reloads when they change. */
  #onPasskeys = () => this.setState(({ passkeyChanges }) => ({ passkeyChanges: passkeyChanges + 1 }));

  componentDidMount() {
    this.#heading.current.focus();
    this.load();
  }

  /** Changes made on other devices are not pushed. If this fails, the known values stay. */
  load = () => this.props.client.me().then(
    () => this.setState({ isMissing: false }), () => this.setState({ isMissing: true }));

  render({ user, notice, onClose, ...props }, { passkeyChanges, isMissing }) {
    const refs = new Map([[PasswordSetting, this.#password], [TwoStepSetting, this.#twoStep]]);
    return html`
      <section class="account" aria-labelledby="account-title" data-testid="account-view">
        <header class="account-head">
          <h1 id="account-title" tabindex="-1" ref=${this.#heading}>Account</h1>
          <button class="button small" type="button" data-testid="account-close" onClick=${onClose}>Back</button>
        </header>
        <div role="status">
          ${notice && html`<p class=${`notice is-${notice.tone}`} data-testid="account-notice">${notice.text}</p>`}
        </div>
        ${!user && isMissing && html`
          <${LoadProblem} client=${props.client} text="Your account could not be loaded." onRetry=${this.load} />`}
        ${notice?.isAlarm && html`
          <${NextSteps} client=${props.client} onPassword=${() => this.#password.current.show("form")}
                        onTwoStep=${() => this.#twoStep.current.base.querySelector("h2").focus()} />`}
        <div class="settings">
          ${user && SETTINGS.map((Each) => html`<${Each} key=${Each.name} user=${user} ...${props} ref=${refs.get(Each)}
                                            passkeyChanges=${passkeyChanges} onPasskeys=${this.#onPasskeys} />`)}
        </div>
      </section>`;
  }
}
