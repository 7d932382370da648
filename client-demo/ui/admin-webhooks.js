/** Webhooks for administrators: create, replace the secret, remove, see what was not accepted, and send it again. */
import { asVigilError } from "../vigil-errors.js";
import { ConfirmDialog } from "./confirm-dialog.js";
import { errorSentence } from "./error-messages.js";
import { Form } from "./forms.js";
import { plural, relativeTime } from "./format.js";
import { Component, html } from "./html.js";
import { LoadProblem } from "./load-problem.js";

const FIELDS = [
  { name: "url", label: "URL", type: "url", autocomplete: "off", hint: "Facts are posted here, signed." },
  {
    name: "events", label: "Facts", type: "text", autocomplete: "off", plain: true, optional: true,
    hint: "Such as session.ended, user.*; none for all.",
  },
];

/** Properties: `client`, `onTitle()`. */
export class AdminWebhooks extends Component {
  /** `secret`: `{id, text}`, made last and shown once. `waiting`: deliveries by endpoint. */
  state = { webhooks: null, waiting: {}, problem: "", result: { text: "", failed: false }, secret: null, removing: null };

  componentDidMount() {
    this.props.onTitle();
    this.load();
  }

  load = async () => {
    const { client } = this.props;
    try {
      const { webhooks } = await client.call("GET", "/admin/webhooks");
      const read = webhooks.map(async ({ id }) => [id, (await client.call("GET", `/admin/webhooks/${id}/deliveries`)).deliveries]);
      this.setState({ webhooks, waiting: Object.fromEntries(await Promise.all(read)), problem: "" });
    } catch (error) {
      this.setState({ problem: errorSentence(asVigilError(error)) });
    }
  };

  create = async ({ url, events }) => {
    const wanted = events.split(/[\s,]+/).filter(Boolean);
    const { webhook, secret } = await this.props.client.call("POST", "/admin/webhooks", { url, events: wanted });
    this.setState({ secret: { id: webhook.id, text: secret }, result: { text: "Created.", failed: false } });
    await this.load();
  };

  /** @param {() => Promise<string>} act resolves with the result to show */
  async run(act) {
    this.setState({ removing: null, secret: null });
    try {
      this.setState({ result: { text: await act(), failed: false } });
      await this.load();
    } catch (error) {
      this.setState({ result: { text: errorSentence(asVigilError(error)), failed: true } });
    }
  }

  sendAgain = ({ id }) => this.run(async () => {
    const { count } = await this.props.client.call("POST", `/admin/webhooks/${id}/send-again`, {});
    return `Sending ${plural(count, "fact")} again.`;
  });

  addSecret = ({ id }) => this.run(async () => {
    const { secret } = await this.props.client.call("POST", `/admin/webhooks/${id}/secrets`, {});
    this.setState({ secret: { id, text: secret } });
    return "Both this secret and the one before it sign from now on.";
  });

  remove = ({ id }) => this.run(async () => {
    await this.props.client.call("DELETE", `/admin/webhooks/${id}`);
    return "Removed.";
  });

  render({ client }, { webhooks, waiting, problem, result, secret, removing }) {
    const ask = (webhook) => this.setState({ removing: webhook });
    return html`
      <p class=${`result ${result.failed ? "is-error" : ""}`} role="status" data-testid="webhook-result">${result.text}</p>
      ${problem && html`<${LoadProblem} client=${client} text=${problem} onRetry=${this.load} />`}
      ${webhooks?.length === 0 && html`<p class="empty">No webhooks.</p>`}
      <ul class="rows" aria-label="Webhooks" aria-busy=${webhooks === null}>
        ${webhooks?.map((each) => html`
          <${Webhook} key=${each.id} webhook=${each} waiting=${waiting[each.id] ?? []} now=${client.serverNow()}
                      secret=${secret?.id === each.id ? secret.text : ""}
                      onSendAgain=${this.sendAgain} onAddSecret=${this.addSecret} onRemove=${ask} />`)}
      </ul>
      <h2>New webhook</h2>
      <${Form} fields=${FIELDS} submitLabel="Create" busyLabel="Creating…" testid="webhook-form" onSubmit=${this.create} quiet resets />
      ${removing && html`
        <${ConfirmDialog} title="Remove this webhook?" confirmLabel="Remove" onConfirm=${() => this.remove(removing)}
                          onCancel=${() => ask(null)}>
          <p class="breakable">Facts that wait for <b>${removing.url}</b> are removed with it.</p>
        <//>`}`;
  }
}

function Webhook({ webhook, waiting, now, secret, onSendAgain, onAddSecret, onRemove }) {
  const { url, events, format, failures, lastError, lastSuccessAt } = webhook;
  const state = failures ? `${plural(failures, "failure")} in a row: ${lastError}`
    : lastSuccessAt ? `last accepted ${relativeTime(lastSuccessAt, now)}` : "nothing sent yet";
  const given = waiting.filter((each) => each.state === "failed").length;
  return html`
    <li class="row" data-testid="webhook">
      <div class="row-text">
        <p class="row-name breakable">${url}</p>
        <p class="device-line">${format === "set" ? "security event tokens" : events.join(", ") || "all facts"} · ${state}</p>
        ${waiting.length > 0 && html`
          <p class="device-line" data-testid="webhook-waiting">${waiting.length - given} waiting, ${given} given up</p>`}
      </div>
      <div class="row-actions">
        ${waiting.length > 0 && html`
          <button class="button small" type="button" data-testid="webhook-again" aria-label=${`Send again to ${url}`}
                  onClick=${() => onSendAgain(webhook)}>Send again</button>`}
        <button class="button small" type="button" data-testid="webhook-secret-new" aria-label=${`New secret for ${url}`}
                onClick=${() => onAddSecret(webhook)}>New secret</button>
        <button class="button small" type="button" data-testid="webhook-remove" aria-label=${`Remove ${url}`}
                onClick=${() => onRemove(webhook)}>Remove…</button>
      </div>
      ${secret && html`
        <p class="notice is-info" role="status">Copy this secret for the receiver now; it is not shown again:
          ${" "}<code class="breakable" data-testid="webhook-secret">${secret}</code></p>`}
    </li>`;
}
