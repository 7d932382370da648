/** What happened to this account's security while the page was open, newest first. */
import { html } from "./html.js";
import { ShieldIcon } from "./icons.js";
import { clockTime } from "./words.js";

/**
 * `sessionId` is the session that the entry warns of, `suspect` the same while the person may say that it was not
 * theirs. `kinds` are those of the alerts that the entry stands for; `isOpen`: nobody has answered them yet.
 * @typedef {{key: string, at: number, tone: "info"|"good"|"warning", text: string, sessionId?: string,
 *   suspect?: string|null, kinds?: string[], isOpen?: boolean}} Entry
 */

const KEPT_ENTRIES = 60;

/**
 * Adds an entry; one with the same key is replaced, so that a login and the alerts about it are one line.
 * @param {Entry[]} entries
 * @param {Entry} entry
 * @returns {Entry[]}
 */
export function withEntry(entries, entry) {
  return [entry, ...entries.filter(({ key }) => key !== entry.key)].slice(0, KEPT_ENTRIES);
}

/** @param {{entries: Entry[], onNotMe: (sessionId: string) => void}} props */
export function ActivityCard({ entries, onNotMe }) {
  return html`
    <section class="card activity-card" aria-labelledby="activity-title">
      <h2 id="activity-title">Security log</h2>
      <div class="activity" role="log" aria-live="polite" aria-relevant="additions" aria-labelledby="activity-title"
           tabindex="0" data-testid="security-log">
        <ul>
          ${entries.map(({ key, at, tone, text, suspect }) => html`
            <li key=${key} class=${`activity-entry is-${tone}`} data-testid="security-entry" data-tone=${tone}>
              <time class="tabular" dateTime=${new Date(at).toISOString()}>${clockTime(at)}</time>
              <span>${text}</span>
              ${suspect && html`
                <button class="button small danger" type="button" data-testid="not-me"
                        onClick=${() => onNotMe(suspect)}>This wasn’t me</button>`}
            </li>`)}
        </ul>
      </div>
      ${entries.length === 0 && html`
        <p class="empty with-icon"><${ShieldIcon} />Quiet so far. Logins, log outs and alerts appear here.</p>`}
    </section>`;
}
