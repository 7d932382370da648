/** The view without a login: shows one screen for login, registration, second factor and mailed links. */
import { Component, createRef, html } from "./html.js";
import { Logo } from "./icons.js";
import { LoginScreen } from "./login-screen.js";
import { MailScreen } from "./mail-screen.js";
import { ConfirmEmailScreen, NotMeScreen } from "./mailed-link-confirmation.js";
import { ForgotScreen, ResetScreen } from "./password-reset.js";
import { PhoneScreen } from "./phone-login.js";
import { RegisterScreen, ResendScreen } from "./registration-screens.js";
import { SecondFactorScreen } from "./second-factor-screen.js";

/**
 * Properties: `screen` (a name in `SCREENS`), `email`, `notice`, `client`, `config`,
 * `onScreen(screen, email, notice, more)`, `onLoggedIn()`; `token` for the screens of mailed links, `mfa` for
 * a login that needs a second factor.
 */
export class LoginView extends Component {
  #heading = createRef();

  componentDidUpdate({ screen }) {
    // A form that focuses its first field keeps the focus.
    const heading = this.#heading.current;
    if (screen !== this.props.screen && !heading.parentElement.contains(document.activeElement)) heading.focus();
  }

  render({ screen, ...props }) {
    const [title, Screen] = SCREENS[screen];
    return html`
      <div class="login">
        <header class="login-brand"><${Logo} /><span class="brand-name">Vigil</span></header>
        <main class="card login-card">
          <h1 tabindex="-1" ref=${this.#heading}>${title}</h1>
          <${Notice} ...${props.notice} />
          <${Screen} ...${props} />
        </main>
        <footer class="login-foot muted">
          Log in once and stay connected. See all your devices live, and log any of them out.
        </footer>
      </div>`;
  }
}

function Notice({ tone = "info", text }) {
  return html`<div class="notice-place" role="status">
    ${text && html`<p class=${`notice is-${tone}`} data-testid="notice">${text}</p>`}
  </div>`;
}

const SCREENS = {
  login: ["Log in", LoginScreen],
  register: ["Create your account", RegisterScreen],
  mail: ["Check your mail", MailScreen],
  resend: ["Confirm your e-mail address", ResendScreen],
  "second-factor": ["One more step", SecondFactorScreen],
  phone: ["Log in with your phone", PhoneScreen],
  forgot: ["Forgot your password?", ForgotScreen],
  reset: ["Choose a new password", ResetScreen],
  "confirm-email": ["Change your e-mail address", ConfirmEmailScreen],
  "not-me": ["Was this you?", NotMeScreen],
};
