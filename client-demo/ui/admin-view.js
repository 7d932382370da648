/** Administration: search users, open one, read the audit log. Hides actions that a moderator may not take. */
import { asVigilError } from "../vigil-errors.js";
import { AdminAuditLog } from "./admin-audit-log.js";
import { fullName, shortName } from "./admin-questions.js";
import { AdminUser } from "./admin-user.js";
import { AdminWebhooks } from "./admin-webhooks.js";
import { errorSentence } from "./error-messages.js";
import { plural } from "./format.js";
import { Component, createRef, html } from "./html.js";
import { LoadProblem } from "./load-problem.js";

export const canAdminister = (user) => Boolean(user?.roles.some((role) => role === "admin" || role === "moderator"));
const isAdmin = (user) => user.roles.includes("admin");

/** Debounce of the search field. */
const TYPING_MS = 250;
const PAGE = 20;

/** The parts of the audit log and of webhooks; any other part is the id of a user, and none the list of people. */
const AUDIT = "audit";
const WEBHOOKS = "webhooks";

/** Properties: `client`, `user` (oneself), `part` of the route, `onPart(part)`, `onTitle()`, `onClose()`. */
export class AdminView extends Component {
  state = { overview: null };
  /** Known names by user id. @type {Map<string, string>} */
  #known = new Map();
  /** What was searched for, and whom the search led to: kept for the way back. */
  #search = {};
  #picked = "";
  #heading = createRef();

  componentDidMount() {
    this.#heading.current.focus({ preventScroll: true });
    this.readOverview();
  }

  componentDidUpdate({ user }) {
    if (isAdmin(user) !== isAdmin(this.props.user)) this.readOverview();
  }

  async readOverview() {
    const { client, user } = this.props;
    const overview = isAdmin(user) ? await client.call("GET", "/admin/overview").catch(() => null) : null;
    this.setState({ overview });
  }

  pick = (userId) => {
    this.#picked = userId;
    this.props.onPart(userId);
  };

  remember = (search) => {
    this.#search = search;
  };

  render({ client, user, part, onPart, onTitle, onClose }, { overview }) {
    const view = isAdmin(user) && (part === AUDIT || part === WEBHOOKS) ? part : "";
    const roles = overview?.roles ?? [];
    return html`
      <section class="card admin-view" aria-labelledby="admin-title" data-testid="admin-view">
        <header class="view-head">
          <h1 id="admin-title" tabindex="-1" ref=${this.#heading}>Administration</h1>
          <button class="button small" type="button" data-testid="admin-close" onClick=${onClose}>Close</button>
        </header>
        ${overview && html`<${Overview} ...${overview} />`}
        ${isAdmin(user) && html`
          <div class="switch" role="group" aria-label="View">
            ${[["people", "People", ""], ["audit", "Audit log", AUDIT], ["webhooks", "Webhooks", WEBHOOKS]].map(([id, label, to]) => html`
              <button key=${id} class="button small" type="button" data-testid=${`admin-${id}`}
                      aria-pressed=${view === to} onClick=${() => onPart(to)}>${label}</button>`)}
          </div>`}
        ${view === WEBHOOKS ? html`<${AdminWebhooks} client=${client} onTitle=${onTitle} />`
          : view === AUDIT ? html`<${AdminAuditLog} key=${AUDIT} client=${client} known=${this.#known} onPick=${this.pick} />`
          : part && part !== AUDIT && part !== WEBHOOKS ? html`
            <${AdminUser} key=${part} client=${client} userId=${part} ownUserId=${user.userId} known=${this.#known}
                          isAdmin=${isAdmin(user)} roles=${roles} onTitle=${onTitle} onBack=${() => onPart("")} />`
          : html`
            <${People} key="people" client=${client} roles=${roles} known=${this.#known} search=${this.#search}
                       picked=${this.#picked} onSearch=${this.remember} onPick=${this.pick} onTitle=${onTitle} />`}
      </section>`;
  }
}

function Overview({ nodes, sockets, queue, jobsDashboardUrl }) {
  const words = [plural(nodes, "node"), plural(sockets, "live connection"), `${queue.queued} jobs waiting`];
  return html`
    <p class="muted admin-glance" data-testid="admin-overview">${words.join(" · ")}
      ${jobsDashboardUrl && html` · <a href=${jobsDashboardUrl} rel="noreferrer" target="_blank">Job queue</a>`}</p>`;
}

/**
 * Properties: `client`, `roles` to filter by, `known` names by user id, `search` and `picked` from before, `onPick(userId)`,
 * `onSearch(search)`, `onTitle()`.
 */
class People extends Component {
  state = { users: null, next: null, problem: "" };
  #form = createRef();
  #asked = 0;

  async componentDidMount() {
    this.props.onTitle();
    await this.find();
    // Back from a person: their place in the list is where the eye returns to.
    if (document.activeElement.matches("body, h1")) document.querySelector("[data-picked] button")?.focus();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.#asked++;
  }

  type = () => {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.find, TYPING_MS);
  };

  submit = (event) => {
    event.preventDefault();
    this.find();
  };

  find = () => this.#read(null);

  /** Drops answers to outdated requests. @param {string|null} before */
  async #read(before) {
    clearTimeout(this.timer);
    const asked = ++this.#asked;
    const entries = [...new FormData(this.#form.current)].map(([name, value]) => [name, String(value).trim()]);
    const wanted = Object.fromEntries(entries.filter(([, value]) => value));
    this.props.onSearch(wanted);
    const search = new URLSearchParams({ limit: String(PAGE), ...(before && { before }), ...wanted });
    try {
      const { users, next } = await this.props.client.call("GET", `/admin/users?${search}`);
      if (asked !== this.#asked) return;
      for (const user of users) this.props.known.set(user.userId, fullName(user));
      const earlier = before ? this.state.users ?? [] : [];
      this.setState({ users: [...earlier, ...users], next, problem: "" });
    } catch (error) {
      if (asked === this.#asked) this.setState({ problem: errorSentence(asVigilError(error)) });
    }
  }

  render({ client, roles, search, picked, onPick }, { users, next, problem }) {
    return html`
      <form class="admin-search" role="search" ref=${this.#form} onSubmit=${this.submit}>
        <div class="field">
          <label for="admin-query">Find people</label>
          <input id="admin-query" name="query" type="search" autocomplete="off" spellcheck=${false}
                 placeholder="Name or e-mail address" data-testid="admin-query" defaultValue=${search.query ?? ""}
                 onInput=${this.type} />
        </div>
        <div class="admin-filters">
          ${roles.length > 0 && html`
            <${Choice} name="role" label="Role" initial=${search.role} onChange=${this.find}
                       options=${[["", "Any role"], ...roles.map((role) => [role, role])]} />`}
          <${Choice} name="locked" label="State" initial=${search.locked} onChange=${this.find}
                     options=${[["", "Any state"], ["true", "Locked"], ["false", "Not locked"]]} />
        </div>
      </form>
      ${problem && html`<${LoadProblem} client=${client} text=${problem} onRetry=${this.find} />`}
      ${users?.length === 0 && html`<p class="empty" role="status">No matches.</p>`}
      <ul class="rows" data-testid="admin-users" aria-label="People" aria-busy=${users === null}>
        ${users?.map((user) => html`
          <${Person} key=${user.userId} user=${user} isPicked=${user.userId === picked} onPick=${onPick} />`)}
      </ul>
      ${next && html`
        <button class="button wide" type="button" data-testid="admin-more" onClick=${() => this.#read(next)}>
          Show more</button>`}`;
  }
}

function Choice({ name, label, initial = "", options, onChange }) {
  return html`
    <label class="choice"><span class="visually-hidden">${label}</span>
      <select name=${name} data-testid=${`admin-${name}`} onChange=${onChange}>
        ${options.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === initial}>${text}</option>`)}
      </select>
    </label>`;
}

function Person({ user, isPicked, onPick }) {
  const { userId, email, name, roles, lockedAt, online } = user;
  return html`
    <li class="row" data-testid="admin-user" data-locked=${String(lockedAt !== null)} data-picked=${isPicked || undefined}>
      <button class="row-button" type="button" onClick=${() => onPick(userId)}>
        <span class="row-name">${shortName(user)}${" "}
          ${lockedAt && html`<span class="badge is-danger">Locked</span>${" "}`}
          ${roles.map((role) => html`<span key=${role} class="badge">${role}</span>${" "}`)}
        </span>
        <span class="device-line">${name ? email : ""}${name && online ? " · " : ""}
          ${online && html`<span class="online">Online now</span>`}</span>
      </button>
    </li>`;
}
