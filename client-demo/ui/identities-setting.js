/** Linked logins: accounts of providers that log in to this account. */
import { relativeTime } from "./format.js";
import { html } from "./html.js";
import { SettingCard } from "./setting-card.js";

export class IdentitiesSetting extends SettingCard {
  what = "Your linked logins";

  firstState() {
    return { identities: null };
  }

  async load() {
    this.setState({ identities: await this.props.client.account.identities() });
  }

  link = (id) => this.run(async () => {
    location.assign(await this.props.client.account.linkUrl(id));
    return "Opening the provider…";
  });

  unlink = (id) => this.run(async () => {
    await this.props.client.account.unlink(id);
    await this.load();
    return "Unlinked.";
  });

  render({ client, config: { loginMethods: { providers } } }, { identities, isMissing }) {
    // Hidden on servers without providers.
    if (!providers.length && !identities?.length) return null;
    if (!identities) return isMissing && this.card({ id: "identities", title: "Linked logins", summary: "" });
    const nameOf = (id) => providers.find((provider) => provider.id === id)?.name ?? id;
    // One identity per provider: the server would refuse a second one.
    const linked = new Set(identities.map(({ provider }) => provider));
    const open = providers.filter(({ id }) => !linked.has(id));
    const now = client.serverNow();
    const summary = identities.length ? "You can log in to this account with these." : "None yet.";
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
