/** Security events since the page was opened, newest first. */
import { clockTime } from "./format.js";
import { html } from "./html.js";
import { ShieldIcon } from "./icons.js";

/**
 * `sessionId`: the session that the entry warns about; `suspect`: the same while "This wasn't me" is offered. `kinds`:
 * kinds of the alerts in this entry; `isOpen`: the user has not answered them yet.
 * @typedef {{key: string, at: number, tone: "info"|"good"|"warning", text: string, sessionId?: string,
 *   suspect?: string|null, kinds?: string[], isOpen?: boolean}} Entry
 */

const KEPT_ENTRIES = 60;

/**
 * Adds an entry, replacing one with the same key: a login and the alerts about it share one line.
 * @param {Entry[]} entries
 * @param {Entry} entry
 * @returns {Entry[]}
 */
export function addEntry(entries, entry) {
  return [entry, ...entries.filter(({ key }) => key !== entry.key)].slice(0, KEPT_ENTRIES);
}

/** @param {{entries: Entry[], onNotMe: (sessionId: string) => void}} props */
export function SecurityLogCard({ entries, onNotMe }) {
  return html`
    <section class="card security-log-card" aria-labelledby="activity-title">
      <h2 id="activity-title">Security log</h2>
      <div role="log" aria-live="polite" aria-relevant="additions" aria-labelledby="activity-title"
           data-testid="security-log">
        <ul>
          ${entries.map(({ key, at, tone, text, suspect }) => html`
            <li key=${key} class=${`security-log-entry is-${tone}`} data-testid="security-entry" data-tone=${tone}>
              <time class="tabular" dateTime=${new Date(at).toISOString()}>${clockTime(at)}</time>
              <span>${text}</span>
              ${suspect && html`
                <button class="button small danger" type="button" data-testid="not-me"
                        onClick=${() => onNotMe(suspect)}>This wasn’t me</button>`}
            </li>`)}
        </ul>
      </div>
      ${entries.length === 0 && html`
        <p class="empty with-icon"><${ShieldIcon} />No events yet. Logins, logouts and alerts appear here.</p>`}
    </section>`;
}
