/** The account's security log, page by page. */
import { eventDetails, eventName } from "./audit-event-text.js";
import { deviceSoftware, placeName } from "./device-names.js";
import { capitalised, relativeTime } from "./format.js";
import { html } from "./html.js";
import { SettingCard } from "./setting-card.js";

const PAGE_SIZE = 10;

const details = (event) => capitalised(eventDetails(event.details));

export class AccountHistorySetting extends SettingCard {
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
    const summary = "Changes to your account and logins, with device and location.";
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
