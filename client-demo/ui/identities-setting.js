/** Accounts elsewhere that log in to this one. */
import { html } from "./html.js";
import { Setting } from "./setting.js";
import { relativeTime } from "./words.js";

export class IdentitiesSetting extends Setting {
  firstState() {
    return { identities: [], providers: null };
  }

  componentDidMount() {
    this.load().catch(() => this.say("Your linked logins cannot be read now.", { failed: true }));
  }

  async load() {
    const { account } = this.props.client;
    const [identities, providers] = await Promise.all([account.identities(), account.providers()]);
    this.setState({ identities, providers });
  }

  link = (id) => this.run(async () => {
    location.assign(await this.props.client.account.linkUrl(id));
    return "Going there…";
  });

  unlink = (id) => this.run(async () => {
    await this.props.client.account.unlink(id);
    await this.load();
    return "Unlinked.";
  });

  render({ client }, { identities, providers }) {
    // Where there is no provider there is nothing to say about them.
    if (!providers?.length && identities.length === 0) return null;
    const nameOf = (id) => providers?.find((provider) => provider.id === id)?.name ?? id;
    // An account has one login of each provider: the button for another could only be refused.
    const linked = new Set(identities.map(({ provider }) => provider));
    const open = (providers ?? []).filter(({ id }) => !linked.has(id));
    const now = client.serverNow();
    const summary = identities.length ? "They log you in to this account." : "None yet.";
    return this.card({ id: "identities", title: "Linked logins", summary }, html`
      <ul class="rows">
        ${identities.map(({ id, provider, label, lastUsedAt, linkedAt }) => html`
          <li key=${id} class="row" data-testid="identity">
            <div class="row-text">
              <p class="row-name">${nameOf(provider)}</p>
              <p class="device-line">${[label, `used ${relativeTime(lastUsedAt ?? linkedAt, now)}`].filter(Boolean).join(" · ")}</p>
            </div>
            <div class="row-actions">
              ${this.button("unlink", "Unlink", () => this.unlink(id), { small: true, danger: true })}</div>
          </li>`)}
      </ul>
      ${open.length > 0 && html`
        <div class="card-actions">
          ${open.map(({ id, name }) => this.button(`link-${id}`, `Link ${name}`, () => this.link(id)))}
        </div>`}`);
  }
}
