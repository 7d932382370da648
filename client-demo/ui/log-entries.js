/** Entries of the security log that this page made, among them the alerts. Pure. */

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

/**
 * Unanswered alerts, newest first.
 * @param {Entry[]} entries
 * @returns {Entry[]}
 */
export const openAlerts = (entries) => entries.filter(({ isOpen }) => isOpen);

/**
 * Removes "This wasn't me" from entries whose session has ended.
 * @param {Entry[]} entries
 * @param {(sessionId: string) => boolean} hasEnded
 * @returns {Entry[]}
 */
export function clearEnded(entries, hasEnded) {
  return entries.map((entry) => (entry.suspect && hasEnded(entry.suspect) ? { ...entry, suspect: null } : entry));
}
