/** What is kept of the account: its security log, a copy of everything, and its end. */
import { asVigilError } from "../vigil-rules.js";
import { Component, html } from "./html.js";
import { Setting } from "./setting.js";
import {
  capitalised, deviceSoftware, errorSentence, eventDetails, eventName, longDate, placeName, relativeTime,
} from "./words.js";

const PAGE_SIZE = 10;

const details = (event) => capitalised(eventDetails(event.details));

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
    const label = events ? "Show more" : "Show the history";
    const summary = "What was done to your account, on whichever device, and from where.";
    return this.card({ id: "log", title: "Account history", summary }, html`
      <ul class="rows">
        ${(events ?? []).map((event) => html`
          <li key=${event.id} class="row" data-testid="log-event" data-kind=${event.kind}>
            <div class="row-text">
              <p class="row-name">${eventName(event.kind)}</p>
              ${details(event) && html`<p class="device-line">${details(event)}</p>`}
              <p class="device-line">
                ${[relativeTime(event.at, now), deviceSoftware(event), placeName(event), event.ip].filter(Boolean).join(" · ")}
              </p>
            </div>
          </li>`)}
      </ul>
      ${(events === null || next) && html`<div class="card-actions">${this.button("show-log", label, this.more)}</div>`}`);
  }
}

/** How long the server keeps an account that is to be deleted. */
const GRACE_MS = 14 * 24 * 3_600_000;

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
    await this.props.client.account.restore();
    return "Your account stays.";
  });

  render({ user }, { open }) {
    const date = user.deletionAt && longDate(user.deletionAt);
    const summary = date ? `Your account is to be deleted on ${date}.` : "A copy of everything, or the end of it.";
    const until = longDate(this.props.client.serverNow() + GRACE_MS);
    return this.card({ id: "data", title: "Your data", summary }, open ? html`
      <p>All your devices are logged out now. Until ${until} you can log in and press “Keep my account”.</p>
      ${this.question("delete", "Delete the account?", "Yes, delete it", this.delete)}` : html`
      <div class="card-actions" key="actions">
        ${this.button("export", "Download my data", this.export)}
        ${date ? this.button("restore", "Keep my account", this.restore)
          : this.button("delete-account", "Delete account", () => this.show("delete"), { danger: true })}
      </div>`);
  }
}

/** Stands over everything while an account is to be deleted. Properties: `client`, `user`. */
export class DeletionBanner extends Component {
  state = { problem: "" };

  keep = async () => {
    try {
      await this.props.client.account.restore();
    } catch (error) {
      this.setState({ problem: errorSentence(asVigilError(error)) });
    }
  };

  render({ user }, { problem }) {
    if (!user?.deletionAt) return null;
    return html`
      <div class="banner" data-testid="deletion-banner">
        Your account is to be deleted on ${longDate(user.deletionAt)}. ${problem}${" "}
        <button class="button small" type="button" data-testid="keep-account" onClick=${this.keep}>
          Keep my account</button>
      </div>`;
  }
}
