/** The user's devices, updated live, with buttons to rename them and log them out. */
import { asVigilError } from "../vigil-errors.js";
import { ConfirmDialog } from "./confirm-dialog.js";
import { deviceName, deviceSoftware, listOfNames, placeName } from "./device-names.js";
import { DeviceRename } from "./device-rename.js";
import { errorSentence } from "./error-messages.js";
import { clockTime, relativeTime } from "./format.js";
import { Component, createRef, html } from "./html.js";
import { DesktopIcon, PhoneIcon, TabletIcon, UnknownDeviceIcon } from "./icons.js";
import { deliveryOutcome, deliverySentence } from "./logout-messages.js";

const KIND_ICONS = { desktop: DesktopIcon, phone: PhoneIcon, tablet: TabletIcon };

/** Interval at which relative times are drawn again. */
const REDRAW_MS = 10_000;

const NO_RESULT = { text: "", failed: false };

/**
 * Properties: `client`, `config`, `devices`, `asOf` (when the list was last live; null while it is), `onDone(text)` for the
 * security log.
 */
export class DevicesCard extends Component {
  /** `pressed`: the device of the last "Log out" and its place in the list, where the result is shown. */
  state = { result: NO_RESULT, busy: null, confirming: false, pressed: null };
  #heading = createRef();
  #outcome = createRef();

  componentDidMount() {
    this.timer = setInterval(() => this.forceUpdate(), REDRAW_MS);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  getSnapshotBeforeUpdate() {
    const focused = document.activeElement;
    if (!this.base?.contains(focused)) return null;
    return { focused, selection: focused.matches("input") ? [focused.selectionStart, focused.selectionEnd] : null };
  }

  /**
   * A row that changes its place loses the focus: returns it. When the focused row was removed, focuses the outcome in its
   * place. Forgets errors of the lost connection.
   */
  componentDidUpdate({ asOf }, _state, before) {
    if (asOf !== null && this.props.asOf === null && this.state.result.failed) this.setState({ result: NO_RESULT });
    if (!before || document.activeElement !== document.body) return;
    const { focused, selection } = before;
    const kept = focused.isConnected ? focused : this.#outcome.current ?? this.#heading.current;
    kept.focus({ preventScroll: true });
    if (kept === focused && selection) focused.setSelectionRange(...selection);
  }

  /**
   * @param {string} key of the button
   * @param {string} done for the security log
   * @param {() => Promise<[import("../vigil-types.js").Delivery|null, number]>} act resolves with the delivery, if
   *   any, and the number of devices logged out
   * @param {{session: object, place: number}|null} [pressed]
   */
  async run(key, done, act, pressed = null) {
    if (this.state.busy) return;
    this.setState({ busy: key, confirming: false, result: NO_RESULT, pressed });
    try {
      const [delivery, loggedOut] = await act();
      this.setState({ result: { text: delivery ? deliverySentence(delivery, loggedOut) : "", failed: false } });
      this.props.onDone(delivery ? `${done}. ${deliveryOutcome(delivery, loggedOut)}` : `${done}.`);
    } catch (error) {
      const refusal = asVigilError(error);
      const isGone = refusal.code === "not_found";
      this.setState({ result: { text: isGone ? "Already logged out." : errorSentence(refusal), failed: !isGone } });
    } finally {
      this.setState({ busy: null });
    }
  }

  endOne = (session, place) => this.run(session.sessionId, `You logged out ${deviceName(session)}`, async () => {
    return [await this.props.client.revoke(session.sessionId), 1];
  }, { session, place });

  endOthers = () => this.run("others", "You logged out all other devices", async () => {
    const { revoked, delivery } = await this.props.client.revokeOthers();
    return [delivery, revoked];
  });

  endAll = () => this.run("all", "You logged out everywhere", async () => {
    await this.props.client.logoutAll();
    return [null, 0];
  });

  close = () => this.setState({ pressed: null, result: NO_RESULT });

  render({ client, devices, asOf }, { result, busy, confirming, pressed }) {
    const { sessions, version } = devices;
    return html`
      <section class=${`card devices-card ${asOf === null ? "" : "is-stale"}`} aria-labelledby="devices-title"
               data-testid="devices-card">
        <header class="devices-head">
          <h2 id="devices-title" tabindex="-1" ref=${this.#heading}>
            Devices <span class="count tabular" data-testid="device-count">${sessions.length}</span>
          </h2>
          ${asOf !== null && html`<p class="as-of" data-testid="devices-as-of">As of ${clockTime(asOf)}</p>`}
          ${this.buttons(sessions.length, busy)}
        </header>
        <p class=${pressed ? "visually-hidden" : `result ${result.failed ? "is-error" : ""}`} role="status"
           data-testid="devices-result">${result.text}</p>
        ${version === null && sessions.length === 0 && html`<p class="empty">Loading your devices…</p>`}
        <ul class="devices" data-testid="device-list" aria-busy=${devices.stale}>${this.rows(client.serverNow())}</ul>
        ${sessions.length === 1 && html`<p class="empty">Log in from another browser, and it appears here at once.</p>`}
        ${sessions.some((session) => session.location) && html`
          <p class="attribution"><a href="https://db-ip.com" rel="noreferrer">IP Geolocation by DB-IP</a></p>`}
        ${confirming && this.confirmation(sessions)}
      </section>`;
  }

  /** The devices. A device that was logged out here leaves the outcome in its place. */
  rows(now) {
    const { busy, pressed, result } = this.state;
    const { client, config, devices: { sessions }, asOf } = this.props;
    const ended = pressed?.session.sessionId;
    const rows = sessions.map((session, place) => html`
      <${DeviceRow} key=${session.sessionId} client=${client} config=${config} session=${session} now=${now} asOf=${asOf}
                    busy=${busy === session.sessionId} problem=${session.sessionId === ended && result.failed ? result.text : ""}
                    onEnd=${() => this.endOne(session, place)} />`);
    if (pressed && !sessions.some(({ sessionId }) => sessionId === ended)) {
      rows.splice(pressed.place, 0, this.outcome(pressed.session, result));
    }
    return rows;
  }

  outcome(session, { text, failed }) {
    return html`
      <li class="device device-outcome" key="outcome" tabindex="-1" ref=${this.#outcome} data-testid="device-outcome">
        <p class="device-name">${deviceName(session)}</p>
        <button class="button small" type="button" data-testid="outcome-close" onClick=${this.close}>Close</button>
        <p class=${`result ${failed ? "is-error" : ""}`}>${text || "Logging out…"}</p>
      </li>`;
  }

  buttons(count, busy) {
    return html`
      <div class="card-actions">
        <button class="button small" type="button" data-testid="logout-others" aria-disabled=${count < 2 || busy !== null}
                onClick=${() => count > 1 && this.endOthers()}>Log out all others</button>
        <button class="button small danger" type="button" data-testid="logout-all" aria-disabled=${busy !== null}
                onClick=${() => this.setState({ confirming: true })}>Log out everywhere…</button>
      </div>`;
  }

  confirmation(sessions) {
    const count = sessions.length;
    return html`
      <${ConfirmDialog} title="Log out everywhere?" confirmLabel=${count > 1 ? `Log out ${count} devices` : "Log out"}
                        onConfirm=${this.endAll} onCancel=${() => this.setState({ confirming: false })}>
        <p>${count > 1 ? html`This logs out ${count} devices, including this one: <b>${listOfNames(sessions)}</b>.`
          : "This logs out this device. No other device is logged in."}</p>
      <//>`;
  }
}

/** Properties: `client`, `config`, `session`, `now`, `asOf`, `busy`, `problem` (why it could not be logged out), `onEnd()`. */
function DeviceRow({ client, config, session, now, asOf, busy, problem, onEnd }) {
  const { device, isCurrent, ip } = session;
  const Icon = KIND_ICONS[device.kind] ?? UnknownDeviceIcon;
  const name = deviceName(session);
  const software = deviceSoftware(session);
  const where = [placeName(session), ip].filter(Boolean).join(" · ");
  // What was true when the connection was lost may not be any more.
  const online = session.online && asOf === null;
  return html`
    <li class="device" data-testid="device" data-session-id=${session.sessionId} data-current=${String(isCurrent)}
        data-online=${String(online)}>
      <div class="device-icon">
        <${Icon} /><span class=${`dot ${online ? "is-online" : ""}`} aria-hidden="true"></span>
      </div>
      <p class="device-name"><span data-testid="device-name">${name}</span>
        ${isCurrent && html` <span class="badge" data-testid="this-device">This device</span>`}</p>
      <button class="button small" type="button" data-testid="device-logout" aria-disabled=${busy} onClick=${onEnd}
              aria-label=${isCurrent ? "Log out this device" : `Log out ${name}`}>
        ${busy ? "Logging out…" : "Log out"}
      </button>
      <div class="device-lines">
        ${software && software !== name && html`<p class="device-line">${software}</p>`}
        <p class="device-line" data-testid="device-place">${where || "Unknown place"}</p>
        <p class="device-line" data-testid="device-seen">
          ${online ? html`<span class="online">Online now</span>`
            : session.online ? `Online at ${clockTime(asOf)}` : `Last seen ${relativeTime(session.lastSeenAt, now)}`}
          ${" · "}<time dateTime=${session.loggedInAt}>logged in ${relativeTime(session.loggedInAt, now)}</time></p>
        <${DeviceRename} client=${client} session=${session} name=${name} maxLength=${config.maxLengths.deviceName} />
        ${problem && html`<p class="result is-error" data-testid="device-problem">${problem}</p>`}
      </div>
    </li>`;
}
