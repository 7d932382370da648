/** The audit log for administrators, page by page: of all accounts, or of one. */
import { VigilError, asVigilError } from "../vigil-errors.js";
import { fullName } from "./admin-questions.js";
import { eventDetails, eventKind, eventName } from "./audit-event-text.js";
import { errorSentence } from "./error-messages.js";
import { capitalised } from "./format.js";
import { Component, createRef, html } from "./html.js";
import { LoadProblem } from "./load-problem.js";

const PAGE = 30;

/** The name of an account that the server no longer knows. */
const ERASED = "An erased account";

/** @param {string} at */
const dayAndTime = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

/** Local midnight at the start of a day, as ISO 8601. @param {string} day @param {number} [later] days */
function midnight(day, later = 0) {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}

/** Properties: `client`, `known` names by user id; `userId` for one account, otherwise `onPick(userId)`. */
export class AdminAuditLog extends Component {
  state = { events: null, next: null, problem: "", kinds: [] };
  #form = createRef();
  #asked = 0;

  componentDidMount() {
    this.read(null);
  }

  componentWillUnmount() {
    this.#asked++;
  }

  filter = (event) => {
    event.preventDefault();
    this.read(null);
  };

  /** Drops answers to outdated requests. @param {string|null} before */
  async read(before) {
    const asked = ++this.#asked;
    try {
      const search = new URLSearchParams({ limit: String(PAGE), ...(before && { before }), ...(await this.#wanted()) });
      const { events, next, people } = await this.props.client.call("GET", `/admin/audit?${search}`);
      if (asked !== this.#asked) return;
      for (const person of people) this.props.known.set(person.userId, fullName(person));
      this.setState(({ events: earlier, kinds }) => ({
        events: [...(before ? earlier : []), ...events], next, problem: "",
        kinds: [...new Set([...kinds, ...events.map(({ kind }) => kind)])].sort(),
      }));
    } catch (error) {
      if (asked === this.#asked) this.setState({ problem: errorSentence(asVigilError(error)) });
    }
  }

  async #wanted() {
    const { userId } = this.props;
    if (userId) return { userId };
    const { kind, person, from, to } = Object.fromEntries(new FormData(this.#form.current));
    return {
      ...(kind.trim() && { kind: eventKind(kind) }),
      ...(person.trim() && { userId: await this.#accountOf(person.trim()) }),
      ...(from && { since: midnight(from) }),
      ...(to && { until: midnight(to, 1) }),
    };
  }

  /** @param {string} address or its beginning @returns {Promise<string>} the user id */
  async #accountOf(address) {
    const search = new URLSearchParams({ query: address, limit: "2" });
    const { users } = await this.props.client.call("GET", `/admin/users?${search}`);
    const found = users.find(({ email }) => email.toLowerCase() === address.toLowerCase()) ?? users[0];
    if (!found || (users.length > 1 && found.email.toLowerCase() !== address.toLowerCase())) {
      const message = found ? "Several accounts match." : "No account matches.";
      throw new VigilError({ code: "not_found", message });
    }
    return found.userId;
  }

  render({ client, userId, known, onPick }, { events, next, problem, kinds }) {
    return html`
      <div class="audit-log" data-testid="trail">
        ${!userId && html`<${Filters} form=${this.#form} kinds=${kinds} onFilter=${this.filter} />`}
        ${events === null && !problem && html`<p class="empty" role="status">Loading…</p>`}
        ${events?.length === 0 && html`<p class="empty" role="status">No matches.</p>`}
        ${problem && html`<${LoadProblem} client=${client} text=${problem} onRetry=${() => this.read(null)} />`}
        <ol class="rows" aria-label="Events, newest first">
          ${events?.map((event) => html`
            <${Entry} key=${event.id} event=${event} withUser=${!userId} known=${known} onPick=${onPick} />`)}
        </ol>
        ${next && html`
          <button class="button wide" type="button" data-testid="trail-more" onClick=${() => this.read(next)}>
            Show earlier</button>`}
      </div>`;
  }
}

const FILTERS = [
  { name: "kind", label: "Event", type: "text", list: "trail-kinds" },
  { name: "person", label: "E-mail address", type: "text" },
  { name: "from", label: "From", type: "date" },
  { name: "to", label: "To", type: "date" },
];

function Filters({ form, kinds, onFilter }) {
  return html`
    <form class="audit-log-filters" role="search" ref=${form} data-testid="trail-filters" onSubmit=${onFilter}>
      ${FILTERS.map(({ label, ...field }) => html`
        <label key=${field.name}>${label}
          <input ...${field} autocomplete="off" autocapitalize="none" spellcheck=${false}
                 data-testid=${`trail-${field.name}`} /></label>`)}
      <datalist id="trail-kinds">${kinds.map((kind) => html`<option key=${kind} value=${eventName(kind)} />`)}</datalist>
      <button class="button" type="submit" data-testid="trail-show">Show</button>
    </form>`;
}

function Entry({ event, withUser, known, onPick }) {
  const { userId, details: { user: about, session: _, ...rest } } = event;
  const details = [eventDetails(rest), about && `account: ${known.get(about) ?? ERASED}`].filter(Boolean).join(" · ");
  return html`
    <li class="row" data-testid="trail-event" data-kind=${event.kind}>
      <div class="row-text">
        <p class="row-name">${eventName(event.kind)}</p>
        <p class="device-line"><time class="tabular" dateTime=${event.at}>${dayAndTime(event.at)}</time>
          ${event.ip && ` · ${event.ip}`}</p>
        ${details && html`<p class="device-line">${capitalised(details)}</p>`}
        ${withUser && userId && html`
          <p class="device-line"><button class="link breakable" type="button" data-testid="trail-account"
             onClick=${() => onPick(userId)}>${known.get(userId) ?? ERASED}</button></p>`}
      </div>
    </li>`;
}
