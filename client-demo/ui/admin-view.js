/** Administration: search users, open one, read the audit log. Hides actions that a moderator may not take. */
import { asVigilError } from "../vigil-errors.js";
import { AdminAuditLog } from "./admin-audit-log.js";
import { AdminUser } from "./admin-user.js";
import { errorSentence } from "./error-messages.js";
import { plural } from "./format.js";
import { Component, createRef, html } from "./html.js";

export const canAdminister = (user) => Boolean(user?.roles.some((role) => role === "admin" || role === "moderator"));
const isAdmin = (user) => user.roles.includes("admin");

/** Debounce of the search field. */
const TYPING_MS = 250;
const PAGE = 20;

/** Properties: `client`, `user` (oneself), `onClose()`. */
export class AdminView extends Component {
  state = { view: "people", picked: null, overview: null };
  /** Known addresses by user id. @type {Map<string, string>} */
  #known = new Map();
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
    this.setState({ overview, ...(!isAdmin(user) && { view: "people" }) });
  }

  pick = (userId) => this.setState({ view: "people", picked: userId });

  back = () => this.setState({ picked: null }, () => this.#heading.current?.focus({ preventScroll: true }));

  render({ client, user, onClose }, { view, picked, overview }) {
    return html`
      <section class="card admin-view" aria-labelledby="admin-title" data-testid="admin-view">
        <header class="view-head">
          <h1 id="admin-title" tabindex="-1" ref=${this.#heading}>Administration</h1>
          <button class="button small" type="button" data-testid="admin-close" onClick=${onClose}>Close</button>
        </header>
        ${overview && html`<${Overview} ...${overview} />`}
        ${isAdmin(user) && html`
          <div class="switch" role="group" aria-label="View">
            ${[["people", "People"], ["audit", "Audit log"]].map(([id, label]) => html`
              <button key=${id} class="button small" type="button" data-testid=${`admin-${id}`}
                      aria-pressed=${view === id} onClick=${() => this.setState({ view: id })}>${label}</button>`)}
          </div>`}
        ${view === "audit" ? html`
            <${AdminAuditLog} client=${client} known=${this.#known} onPick=${this.pick} />`
          : picked ? html`
            <${AdminUser} key=${picked} client=${client} userId=${picked} ownUserId=${user.userId}
                            isAdmin=${isAdmin(user)} roles=${overview?.roles ?? []}
                            onBack=${this.back} />`
          : html`<${People} client=${client} roles=${overview?.roles ?? []} known=${this.#known} onPick=${this.pick} />`}
      </section>`;
  }
}

function Overview({ nodes, sockets, queue, jobsDashboardUrl }) {
  const words = [plural(nodes, "node"), plural(sockets, "live connection"), `${queue.queued} jobs waiting`];
  return html`
    <p class="muted admin-glance" data-testid="admin-overview">${words.join(" · ")}
      ${jobsDashboardUrl && html` · <a href=${jobsDashboardUrl} rel="noreferrer" target="_blank">Job queue</a>`}</p>`;
}

/** Properties: `client`, `roles` to filter by, `known` addresses by user id, `onPick(userId)`. */
class People extends Component {
  state = { users: null, next: null, problem: "" };
  #form = createRef();
  #asked = 0;

  componentDidMount() {
    this.find();
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
    const search = new URLSearchParams({ limit: String(PAGE), ...(before && { before }) });
    for (const [name, value] of new FormData(this.#form.current)) {
      if (String(value).trim()) search.set(name, String(value).trim());
    }
    try {
      const { users, next } = await this.props.client.call("GET", `/admin/users?${search}`);
      if (asked !== this.#asked) return;
      for (const { userId, email } of users) this.props.known.set(userId, email);
      const earlier = before ? this.state.users ?? [] : [];
      this.setState({ users: [...earlier, ...users], next, problem: "" });
    } catch (error) {
      if (asked === this.#asked) this.setState({ problem: errorSentence(asVigilError(error)) });
    }
  }

  render({ roles, onPick }, { users, next, problem }) {
    return html`
      <form class="admin-search" role="search" ref=${this.#form} onSubmit=${this.submit}>
        <div class="field">
          <label for="admin-query">Find people</label>
          <input id="admin-query" name="query" type="search" autocomplete="off" spellcheck=${false}
                 placeholder="Beginning of an address or name" data-testid="admin-query"
                 onInput=${this.type} />
        </div>
        <div class="admin-filters">
          ${roles.length > 0 && html`
            <${Choice} name="role" label="Role" onChange=${this.find}
                       options=${[["", "Any role"], ...roles.map((role) => [role, role])]} />`}
          <${Choice} name="locked" label="State" onChange=${this.find}
                     options=${[["", "Any state"], ["true", "Locked"], ["false", "Not locked"]]} />
        </div>
      </form>
      <p class="result is-error" role="alert">${problem}</p>
      ${users?.length === 0 && html`<p class="empty" role="status">No matches.</p>`}
      <ul class="rows" data-testid="admin-users" aria-label="People" aria-busy=${users === null}>
        ${users?.map((user) => html`<${Person} key=${user.userId} user=${user} onPick=${onPick} />`)}
      </ul>
      ${next && html`
        <button class="button wide" type="button" data-testid="admin-more" onClick=${() => this.#read(next)}>
          Show more</button>`}`;
  }
}

function Choice({ name, label, options, onChange }) {
  return html`
    <label class="choice"><span class="visually-hidden">${label}</span>
      <select name=${name} data-testid=${`admin-${name}`} onChange=${onChange}>
        ${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
      </select>
    </label>`;
}

function Person({ user, onPick }) {
  const { userId, email, name, roles, lockedAt, online } = user;
  return html`
    <li class="row" data-testid="admin-user" data-locked=${String(lockedAt !== null)}>
      <button class="row-button" type="button" onClick=${() => onPick(userId)}>
        <span class="row-name">${name || email}${" "}
          ${lockedAt && html`<span class="badge is-danger">Locked</span>${" "}`}
          ${roles.map((role) => html`<span key=${role} class="badge">${role}</span>${" "}`)}
        </span>
        <span class="device-line">${name ? email : ""}${name && online ? " · " : ""}
          ${online && html`<span class="online">Online now</span>`}</span>
      </button>
    </li>`;
}
