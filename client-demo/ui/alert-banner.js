/** Alerts that nobody has answered yet, across the top of whatever is shown: the newest, and how many there are. */
import { html } from "./html.js";
import { isNewsOfLogin } from "./words.js";

/** @typedef {import("./activity-card.js").Entry} Entry */

/**
 * What the banner is for, newest first.
 * @param {Entry[]} entries
 * @returns {Entry[]}
 */
export const openAlerts = (entries) => entries.filter(({ isOpen }) => isOpen);

/**
 * The entries once sessions are over: of those nobody needs to say that they were not theirs.
 * @param {Entry[]} entries
 * @param {(sessionId: string) => boolean} isOver
 * @returns {Entry[]}
 */
export function withoutOver(entries, isOver) {
  return entries.map((entry) => (entry.suspect && isOver(entry.suspect) ? { ...entry, suspect: null } : entry));
}

/** @param {{alerts: Entry[], onNotMe: (sessionId: string) => void, onSeen: (key: string) => void}} props */
export function AlertBanner({ alerts, onNotMe, onSeen }) {
  const [alert] = alerts;
  if (!alert) return null;
  const { key, text, suspect, kinds } = alert;
  const outcome = !suspect && kinds?.some(isNewsOfLogin) ? " It is logged out by now." : "";
  return html`
    <div class="banner alert-banner" key=${key} data-testid="alert-banner">
      <p>${text}${outcome} ${alerts.length > 1 && html`<span class="count tabular">1 of ${alerts.length}</span>`}</p>
      ${suspect && html`
        <button class="button small danger solid" type="button" data-testid="alert-not-me"
                onClick=${() => onNotMe(suspect)}>This wasn’t me</button>`}
      <button class="button small" type="button" data-testid="alert-seen" onClick=${() => onSeen(key)}>
        ${suspect ? "It was me" : "Close"}</button>
    </div>`;
}
