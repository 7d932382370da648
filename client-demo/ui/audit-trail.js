/** The audit trail for administrators, page by page: everybody's, or that of one account. */
import { asVigilError } from "../vigil-rules.js";
import { Component, html } from "./html.js";
import { capitalised, errorSentence } from "./words.js";

const PAGE = 30;

/** @param {string} kind */
const eventName = (kind) => capitalised(kind.replaceAll("_", " "));

/** @param {string} at */
const dayAndTime = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

/** Properties: `client`, `userId` for one account alone. */
export class AuditTrail extends Component {
  state = { events: null, next: null, problem: "" };

  componentDidMount() {
    this.read(null);
  }

  componentWillUnmount() {
    this.gone = true;
  }

  async read(before) {
    const { client, userId } = this.props;
    const search = new URLSearchParams({ limit: String(PAGE), ...(userId && { userId }), ...(before && { before }) });
    try {
      const { events, next } = await client.call("GET", `/admin/audit?${search}`);
      if (this.gone) return;
      this.setState(({ events: earlier }) => ({ events: [...(before ? earlier : []), ...events], next, problem: "" }));
    } catch (error) {
      if (!this.gone) this.setState({ problem: errorSentence(asVigilError(error)) });
    }
  }

  render({ userId }, { events, next, problem }) {
    return html`
      <div class="trail" data-testid="trail">
        ${events === null && !problem && html`<p class="empty" role="status">Reading…</p>`}
        ${events?.length === 0 && html`<p class="empty">Nothing yet.</p>`}
        <ol class="rows" aria-label="Events, newest first">
          ${events?.map((event) => html`<${Entry} key=${event.id} event=${event} withUser=${!userId} />`)}
        </ol>
        <p class="result is-error" role="alert">${problem}</p>
        ${next && html`
          <button class="button wide" type="button" data-testid="trail-more" onClick=${() => this.read(next)}>
            Show earlier</button>`}
      </div>`;
  }
}

function Entry({ event, withUser }) {
  const details = Object.entries(event.details ?? {}).map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`);
  return html`
    <li class="row" data-testid="trail-event" data-kind=${event.kind}>
      <div class="row-text">
        <p class="row-name">${eventName(event.kind)}</p>
        <p class="device-line"><time class="tabular" dateTime=${event.at}>${dayAndTime(event.at)}</time>
          ${event.ip && ` · ${event.ip}`}</p>
        ${details.length > 0 && html`<p class="device-line">${details.join(" · ")}</p>`}
        ${withUser && event.userId && html`<p class="device-line">Account <code>${event.userId}</code></p>`}
      </div>
    </li>`;
}
