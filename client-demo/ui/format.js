/** Formats numbers, times and words for display. */

/**
 * @param {number} count
 * @param {string} noun
 * @param {string} [nouns]
 */
export const plural = (count, noun, nouns = `${noun}s`) => `${count} ${count === 1 ? noun : nouns}`;

/** @param {string} text */
export function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = /** @type {const} */ ([["day", 86_400], ["hour", 3_600], ["minute", 60]]);

/**
 * @param {string|number} time
 * @param {number} now milliseconds
 */
export function relativeTime(time, now) {
  const seconds = (now - new Date(time).getTime()) / 1000;
  for (const [unit, size] of UNITS) {
    if (seconds >= size) return RELATIVE.format(-Math.floor(seconds / size), unit);
  }
  return "just now";
}

/**
 * A duration in words, rounded up: "90 seconds" at most, then minutes, hours, days.
 * @param {number} ms
 */
export function duration(ms) {
  const seconds = Math.ceil(ms / 1000), minutes = Math.ceil(seconds / 60), hours = Math.ceil(minutes / 60);
  if (seconds < 90) return plural(seconds, "second");
  if (minutes < 90) return plural(minutes, "minute");
  return hours < 48 ? plural(hours, "hour") : plural(Math.ceil(hours / 24), "day");
}

/** @param {number} ms @returns {string} `mm:ss`, or `h:mm:ss` */
export function countdown(ms) {
  const seconds = Math.max(Math.ceil(ms / 1000), 0);
  const clock = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, "0")).join(":");
  return seconds < 3600 ? clock : `${Math.floor(seconds / 3600)}:${clock}`;
}

/** @param {string|number} time */
export function clockTime(time) {
  return new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** @param {string|number} time @returns {string} such as "28 Nov" */
export function shortDate(time) {
  return new Date(time).toLocaleDateString([], { day: "numeric", month: "short" });
}

/** @param {string|number} time */
export function longDate(time) {
  return new Date(time).toLocaleDateString([], { dateStyle: "long" });
}

/** @param {string|number} time */
export function longTime(time) {
  return new Date(time).toLocaleString([], { dateStyle: "long", timeStyle: "short" });
}

/**
 * The entry of `sentences`, never an inherited property.
 * @param {Record<string, string>} sentences
 * @param {string|null|undefined} key
 */
export function lookUp(sentences, key) {
  return key && Object.prototype.hasOwnProperty.call(sentences, key) ? sentences[key] : undefined;
}
