/** Names of devices and places. */

/** @typedef {import("../vigil-types.js").Session} Session */

/** @param {Partial<Session>} session */
export function deviceName({ device }) {
  return device?.name || deviceSoftware({ device }) || "an unknown device";
}

/** The name that the server made: browser and system, or model. @param {Partial<Session>} session */
export function deviceSoftware({ device }) {
  return device?.detected || [device?.browser, device?.os].filter(Boolean).join(" on ");
}

/**
 * Describes a device by what the server observed. Its name comes last and is marked as a claim: whoever logged in chose it.
 * @param {Partial<Session>} session
 */
export function describeDevice(session) {
  const software = deviceSoftware(session);
  const seen = [software || "unknown browser", placeName(session), session.ip].filter(Boolean).join(", ");
  const name = session.device?.name;
  return name && name !== software ? `${seen}, calling itself “${name}”` : seen;
}

/** How many devices a sentence names before it counts the rest. */
const MAX_NAMED = 5;

/** Names of devices: "Laptop, Phone and 3 more". @param {Partial<Session>[]} sessions */
export function listOfNames(sessions) {
  const named = sessions.length > MAX_NAMED + 1 ? sessions.slice(0, MAX_NAMED) : sessions;
  const names = named.map(deviceName);
  const last = named.length < sessions.length ? `${sessions.length - named.length} more` : names.pop();
  return names.length ? `${names.join(", ")} and ${last}` : last;
}

const COUNTRIES = new Intl.DisplayNames("en", { type: "region" });

/** @param {Partial<Session>} session */
export function placeName({ location }) {
  return [location?.city, countryName(location?.country)].filter(Boolean).join(", ");
}

/** @param {string|null|undefined} code */
function countryName(code) {
  return code && /^[A-Z]{2}$/.test(code) ? COUNTRIES.of(code) : code;
}
