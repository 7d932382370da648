/** The link from a login screen back to the login form. */
import { html } from "./html.js";

export function BackToLogin({ onScreen, label = "Back to log in" }) {
  return html`
    <p class="login-switch">
      <button class="link" type="button" data-testid="to-login" onClick=${() => onScreen("login")}>${label}</button>
    </p>`;
}
