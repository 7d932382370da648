/** Types of the protocol that several modules share. Nothing here exists at run time. */

/**
 * `name` was chosen by the device, or else is `detected`: the name that the server made from the browser's headers.
 * @typedef {{name: string, detected?: string, browser: string|null, os: string|null,
 *   kind: "desktop"|"phone"|"tablet"|"bot"|"other"}} Device
 *
 * @typedef {object} Session
 * @property {string} sessionId
 * @property {Device} device
 * @property {string} userAgent
 * @property {string} ip
 * @property {{city: string|null, country: string|null}|null} location `country` is an ISO 3166-1 code
 * @property {string} loggedInAt
 * @property {string} lastSeenAt
 * @property {string} expiresAt
 * @property {boolean} isCurrent
 * @property {boolean} online
 * @property {string[]} amr
 * @property {string} [approvedBy] session that approved this login
 * @property {{kind: string, at: string}[]} alerts that no device has dismissed
 *
 * @typedef {{sockets: number, notified: number, acknowledged: number, closed: number, pending: number,
 *   incomplete?: true}} Delivery
 * @typedef {{kind: "user"|"admin"|"system", sessionId?: string|null}} Actor
 * @typedef {{field: string, message: string}} FieldError
 */


export {};
