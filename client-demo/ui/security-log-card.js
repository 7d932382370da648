/** Security events: those since the page was opened, then those that the server has recorded, newest first. */
import { eventDetails, eventName } from "./audit-event-text.js";
import { deviceSoftware, placeName } from "./device-names.js";
import { clockTime, shortDate } from "./format.js";
import { Component, html } from "./html.js";
import { ShieldIcon } from "./icons.js";
import { LoadProblem } from "./load-problem.js";

const PAGE_SIZE = 10;

/** Recorded events that the user should look at. */
const WARNINGS = new Set([
  "login_failed", "login_disowned", "refresh_reused", "refresh_elsewhere", "impossible_travel", "rapid_refresh",
  "passkey_copied", "approval_denied",
]);

/** Properties: `client`, `entries`, `onNotMe(sessionId)`. */
export class SecurityLogCard extends Component {
  state = { recorded: [], next: null, isMissing: false, isLoading: true };
  #asked = 0;

  componentDidMount() {
    // A new list, unless the connection was only interrupted and every event has arrived.
    this.stop = this.props.client.on("ready", ({ recovered }) => {
      if (!recovered) this.read(null);
    });
    if (this.props.client.state.state === "live") this.read(null);
  }

  componentWillUnmount() {
    this.stop();
    this.#asked++;
  }

  /** Drops answers to outdated requests. @param {string|null} before */
  async read(before) {
    const asked = ++this.#asked;
    this.setState({ isMissing: false, isLoading: true });
    const page = await this.props.client.account.securityLog({ limit: PAGE_SIZE, before }).catch(() => null);
    if (asked !== this.#asked) return;
    this.setState(({ recorded, next }) => (page
      ? { recorded: before ? [...recorded, ...page.events] : page.events, next: page.next, isLoading: false }
      : { recorded, next, isMissing: true, isLoading: false }));
  }

  render({ client, entries, onNotMe }, { recorded, next, isMissing, isLoading }) {
    const now = client.serverNow();
    return html`
      <section class="card security-log-card" aria-labelledby="activity-title">
        <h2 id="activity-title">Security log</h2>
        <div role="log" aria-live="polite" aria-relevant="additions" aria-labelledby="activity-title"
             data-testid="security-log">
          <ul class="security-log">
            ${entries.map(({ key, at, tone, text, suspect }) => html`
              <${Row} key=${key} testid="security-entry" at=${at} now=${now} tone=${tone} text=${text}>
                ${suspect && html`
                  <button class="button small danger" type="button" data-testid="not-me"
                          onClick=${() => onNotMe(suspect)}>This wasn’t me</button>`}
              <//>`)}
          </ul>
        </div>
        <ul class="security-log" aria-label="Recorded events" aria-busy=${isLoading}>
          ${recorded.map((event) => html`
            <${Row} key=${event.id} testid="recorded-event" at=${Date.parse(event.at)} now=${now}
                    tone=${WARNINGS.has(event.kind) ? "warning" : "info"} text=${recordedSentence(event)} />`)}
        </ul>
        ${isMissing && html`
          <${LoadProblem} client=${client} text="Recorded events could not be loaded." onRetry=${() => this.read(next)} />`}
        ${!isMissing && next && html`
          <button class="button small" type="button" data-testid="recorded-more" aria-disabled=${isLoading}
                  onClick=${() => !isLoading && this.read(next)}>Show earlier</button>`}
        ${!isMissing && !isLoading && entries.length + recorded.length === 0 && html`
          <p class="empty with-icon"><${ShieldIcon} />No events yet. Logins, logouts and alerts appear here.</p>`}
      </section>`;
  }
}

/** Properties: `testid`, `at`, `now`, `tone`, `text`, `children`. */
function Row({ testid, at, now, tone, text, children }) {
  const isToday = new Date(at).toDateString() === new Date(now).toDateString();
  return html`
    <li class=${`security-log-entry is-${tone}`} data-testid=${testid} data-tone=${tone}>
      <time class="tabular" dateTime=${new Date(at).toISOString()}>
        ${isToday ? clockTime(at) : html`${shortDate(at)}<br />${clockTime(at)}`}</time>
      <span>${text}</span>
      ${children}
    </li>`;
}

function recordedSentence(event) {
  const from = [deviceSoftware(event), placeName(event), event.ip].filter(Boolean).join(", ");
  return [eventName(event.kind), from, eventDetails(event.details)].filter(Boolean).join(" · ");
}
