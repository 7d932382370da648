/** What is kept of the account: its security log, a copy of everything, and its end. */
import { html } from "./html.js";
import { Setting } from "./setting.js";
import { capitalised, deviceSoftware, placeName, relativeTime } from "./words.js";

const PAGE_SIZE = 10;

export class SecurityLogSetting extends Setting {
  firstState() {
    return { events: null, next: null };
  }

  more = () => this.run(async () => {
    const { events, next } = this.state;
    const page = await this.props.client.account.securityLog({ limit: PAGE_SIZE, before: next });
    this.setState({ events: [...events ?? [], ...page.events], next: page.next });
    return "";
  });

  render({ client }, { events, next }) {
    const now = client.serverNow();
    const label = events ? "Show more" : "Show the log";
    const summary = "What was done to your account, on whichever device, and from where.";
    return this.card({ id: "log", title: "Security log", summary }, html`
      <ul class="rows">
        ${(events ?? []).map((event) => html`
          <li key=${event.id} class="row" data-testid="log-event" data-kind=${event.kind}>
            <div class="row-text">
              <p class="row-name">${capitalised(event.kind.replaceAll("_", " "))}</p>
              <p class="device-line">
                ${[relativeTime(event.at, now), deviceSoftware(event), placeName(event), event.ip].filter(Boolean).join(" · ")}
              </p>
            </div>
          </li>`)}
      </ul>
      ${(events === null || next) && html`<div class="card-actions">${this.button("show-log", label, this.more)}</div>`}`);
  }
}

export class DataSetting extends Setting {
  export = () => this.run(async () => {
    const everything = await this.props.client.account.export();
    const file = new Blob([JSON.stringify(everything, null, 2)], { type: "application/json" });
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: "account.json" });
    link.click();
    URL.revokeObjectURL(link.href);
    return "Saved as account.json.";
  });

  delete = () => this.run(async () => {
    await this.props.client.account.delete();
    return "";
  });

  restore = () => this.run(async () => {
    this.props.onUser(await this.props.client.account.restore());
    return "Your account stays.";
  });

  render({ user }, { open }) {
    const date = user.deletionAt && new Date(user.deletionAt).toLocaleDateString();
    const summary = date ? `Your account is to be deleted on ${date}.` : "A copy of everything, or the end of it.";
    return this.card({ id: "data", title: "Your data", summary }, open ? html`
      <p>All your devices are logged out now. Log in within 14 days to keep the account after all.</p>
      <div class="card-actions" key="question" role="group" aria-label="Delete the account?">
        ${this.button("delete-confirm", "Yes, delete it", this.delete, { danger: true })}
        ${this.button("delete-cancel", "Cancel", () => this.show(null))}
      </div>` : html`
      <div class="card-actions" key="actions">
        ${this.button("export", "Download my data", this.export)}
        ${date ? this.button("restore", "Keep my account", this.restore)
          : this.button("delete-account", "Delete account", () => this.show("delete"), { danger: true })}
      </div>`);
  }
}
