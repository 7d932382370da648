/**
 * The views of a login as fragments of the URL, so that Back, Forward, a reload and a link lead to them:
 * `#security`, `#chat`, `#account`, `#admin`, `#admin/audit`, `#admin/<userId>`; no fragment is the list of devices.
 */

/**
 * `view` and, for administration, `part`: a user id, "audit", or empty for the list of people.
 * @typedef {{view: "devices"|"security"|"chat"|"account"|"admin", part: string}} Route
 */

/** @type {Route} */
export const HOME = Object.freeze({ view: "devices", part: "" });

const VIEWS = ["devices", "security", "chat", "account", "admin"];

/** The panes of one view: a narrow window shows one of them. @param {Route} route */
export const isHome = ({ view }) => view !== "account" && view !== "admin";

/** @param {Location} location @returns {Route} `HOME` for any other fragment */
export function readRoute({ hash }) {
  const [view, part = ""] = hash.slice(1).split("/");
  if (!VIEWS.includes(view)) return HOME;
  return { view: /** @type {Route["view"]} */ (view), part: view === "admin" ? decoded(part) : "" };
}

/** @param {Location} location @param {Route} route @returns {string} the address of this page with the route */
export function addressOf({ pathname }, { view, part }) {
  if (view === HOME.view) return pathname;
  return `${pathname}#${view}${part && `/${encodeURIComponent(part)}`}`;
}

/** @param {string} text that a person may have typed */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
