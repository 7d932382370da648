/** Banner with the newest unanswered alert and the number of them. */
import { canBeReported } from "./alert-messages.js";
import { html } from "./html.js";

/** @typedef {import("./log-entries.js").Entry} Entry */

/** @param {{alerts: Entry[], onNotMe: (sessionId: string) => void, onSeen: (key: string) => void}} props */
export function AlertBanner({ alerts, onNotMe, onSeen }) {
  const [alert] = alerts;
  if (!alert) return null;
  const { key, text, suspect, kinds } = alert;
  const outcome = !suspect && kinds?.some(canBeReported) ? " Already logged out." : "";
  return html`
    <div class="banner is-warning" key=${key} data-testid="alert-banner">
      <p>${text}${outcome} ${alerts.length > 1 && html`<span class="count tabular">1 of ${alerts.length}</span>`}</p>
      ${suspect && html`
        <button class="button small danger solid" type="button" data-testid="alert-not-me"
                onClick=${() => onNotMe(suspect)}>This wasn’t me</button>`}
      <button class="button small" type="button" data-testid="alert-seen" onClick=${() => onSeen(key)}>
        ${suspect ? "It was me" : "Close"}</button>
    </div>`;
}
