/** The user's devices, updated live, with buttons to rename them and log them out. */
import { asVigilError } from "../vigil-errors.js";
import { deviceName, deviceSoftware, placeName } from "./device-names.js";
import { DeviceRename } from "./device-rename.js";
import { errorSentence } from "./error-messages.js";
import { relativeTime } from "./format.js";
import { Component, html } from "./html.js";
import { DesktopIcon, PhoneIcon, TabletIcon, UnknownDeviceIcon } from "./icons.js";
import { deliveryOutcome, deliverySentence } from "./logout-messages.js";

const KIND_ICONS = { desktop: DesktopIcon, phone: PhoneIcon, tablet: TabletIcon };

/** Interval at which relative times are drawn again. */
const REDRAW_MS = 10_000;

/** Properties: `client`, `config`, `devices`, `onDone(text)` for the security log. */
export class DevicesCard extends Component {
  state = { result: { text: "", failed: false }, busy: null, confirming: false };

  componentDidMount() {
    this.timer = setInterval(() => this.forceUpdate(), REDRAW_MS);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  /**
   * @param {string} key of the button
   * @param {string} done for the security log
   * @param {() => Promise<[import("../vigil-types.js").Delivery|null, number]>} act resolves with the delivery, if
   *   any, and the number of devices logged out
   */
  async run(key, done, act) {
    if (this.state.busy) return;
    this.setState({ busy: key, confirming: false, result: { text: "", failed: false } });
    try {
      const [delivery, loggedOut] = await act();
      this.setState({ result: { text: delivery ? deliverySentence(delivery, loggedOut) : "", failed: false } });
      this.props.onDone(delivery ? `${done}. ${deliveryOutcome(delivery, loggedOut)}` : `${done}.`);
    } catch (error) {
      this.setState({ result: { text: errorSentence(asVigilError(error)), failed: true } });
    } finally {
      this.setState({ busy: null });
    }
  }

  endOne = (session) => this.run(session.sessionId, `You logged out ${deviceName(session)}`, async () => {
    return [await this.props.client.revoke(session.sessionId), 1];
  });

  endOthers = () => this.run("others", "You logged out all other devices", async () => {
    const { revoked, delivery } = await this.props.client.revokeOthers();
    return [delivery, revoked];
  });

  endAll = () => this.run("all", "You logged out everywhere", async () => {
    await this.props.client.logoutAll();
    return [null, 0];
  });

  render({ client, config, devices }, { result, busy, confirming }) {
    const { sessions, version } = devices;
    const now = client.serverNow();
    return html`
      <section class="card devices-card" aria-labelledby="devices-title" data-testid="devices-card">
        <h2 id="devices-title">
          Devices <span class="count tabular" data-testid="device-count">${sessions.length}</span>
        </h2>
        ${version === null && sessions.length === 0 && html`<p class="empty">Loading your devices…</p>`}
        <ul class="devices" data-testid="device-list" aria-busy=${devices.stale}>
          ${sessions.map((session) => html`
            <${DeviceRow} key=${session.sessionId} client=${client} config=${config} session=${session} now=${now}
                          busy=${busy === session.sessionId} onEnd=${() => this.endOne(session)} />`)}
        </ul>
        ${sessions.length === 1 && html`<p class="empty">Log in from another browser, and it appears here at once.</p>`}
        <p class=${`result ${result.failed ? "is-error" : ""}`} role="status" data-testid="devices-result">
          ${result.text}
        </p>
        ${confirming ? this.confirmation() : this.buttons(sessions.length, busy)}
        ${sessions.some((session) => session.location) && html`
          <p class="attribution"><a href="https://db-ip.com" rel="noreferrer">IP Geolocation by DB-IP</a></p>`}
      </section>`;
  }

  buttons(count, busy) {
    return html`
      <div class="card-actions" key="actions">
        <button class="button" type="button" data-testid="logout-others" aria-disabled=${count < 2 || busy !== null}
                onClick=${() => count > 1 && this.endOthers()}>Log out all others</button>
        <button class="button danger" type="button" data-testid="logout-all" aria-disabled=${busy !== null}
                onClick=${() => this.setState({ confirming: true })}>Log out everywhere</button>
      </div>`;
  }

  confirmation() {
    return html`
      <div class="card-actions" key="question" role="group" aria-label="Log out everywhere, this device too?">
        <button class="button danger solid" type="button" data-testid="logout-all-confirm"
                onClick=${this.endAll}>Yes, this device too</button>
        <button class="button" type="button" data-testid="logout-all-cancel" ref=${focusOnce}
                onClick=${() => this.setState({ confirming: false })}>Cancel</button>
      </div>`;
  }
}

/** Focuses the safe answer, because the focused button was removed. */
const focusOnce = (button) => button?.focus();

function DeviceRow({ client, config, session, now, busy, onEnd }) {
  const { device, isCurrent, online, ip } = session;
  const Icon = KIND_ICONS[device.kind] ?? UnknownDeviceIcon;
  const name = deviceName(session);
  const software = deviceSoftware(session);
  const where = [placeName(session), ip].filter(Boolean).join(" · ");
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
          ${online
            ? html`<span class="online">Online now</span>`
            : `Last seen ${relativeTime(session.lastSeenAt, now)}`}
          ${" · "}<time dateTime=${session.loggedInAt}>logged in ${relativeTime(session.loggedInAt, now)}</time></p>
        <${DeviceRename} client=${client} session=${session} name=${name} maxLength=${config.maxLengths.deviceName} />
      </div>
    </li>`;
}
