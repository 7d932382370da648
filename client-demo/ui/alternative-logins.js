/** Login methods other than the password: passkey, phone, and the buttons of the providers. */
import { html } from "./html.js";
import { KeyIcon, PhoneIcon } from "./icons.js";
import { addressOf, readRoute } from "./routes.js";
import { PasskeyHint, supportsPasskeys } from "./webauthn.js";

/** Properties: `primary`, `busy`, `problem`, `onUse()`. */
export function PasskeyButton({ primary, busy, problem, onUse }) {
  if (!supportsPasskeys()) return html`<${PasskeyHint} />`;
  return html`
    <button class=${`button wide ${primary ? "primary" : ""}`} type="button" data-testid="passkey-login"
            aria-disabled=${busy} onClick=${onUse}><${KeyIcon} />${busy ? "Waiting…" : "Log in with a passkey"}</button>
    <div class="form-problem passkey-problem" role="alert" data-testid="passkey-error">${problem}</div>`;
}

/** Properties: `config`, `passkey` (its button, unless it is elsewhere), `onPhone()`. */
export function AlternativeLogins({ config: { loginMethods }, passkey, onPhone }) {
  if (!passkey && !loginMethods.phone && loginMethods.providers.length === 0) return null;
  return html`
    <div class="alternative-logins">
      <p class="or muted"><span>or</span></p>
      ${passkey}
      ${loginMethods.phone && html`
        <button class="button wide" type="button" data-testid="to-phone" onClick=${onPhone}>
          <${PhoneIcon} />Log in with your phone</button>`}
      ${loginMethods.providers.map(({ id, name }) => html`
        <a key=${id} class="button wide" data-testid=${`provider-${id}`}
           href=${startOf(id)}>Log in with ${name}</a>`)}
    </div>`;
}

/** The address that begins a login at a provider and returns to the view that was asked for. @param {string} id */
function startOf(id) {
  const returnTo = addressOf(location, readRoute(location));
  const query = new URLSearchParams({ delivery: "cookie", ...(returnTo !== "/" && { returnTo }) });
  return `/api/auth/oauth/${encodeURIComponent(id)}/start?${query}`;
}
