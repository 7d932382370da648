/** The view of a logged-in user: chat, devices, security log and connection; account and administration pages. */
import { AccountView } from "./account-view.js";
import { AdminView, canAdminister } from "./admin-view.js";
import { AlertBanner, openAlerts } from "./alert-banner.js";
import { ChatCard } from "./chat-card.js";
import { ConnectionCard, ConnectionState } from "./connection-card.js";
import { DeletionBanner } from "./deletion-banner.js";
import { DevicesCard } from "./devices-card.js";
import { focusContent } from "./dialog.js";
import { Component, createRef, html } from "./html.js";
import { ChatIcon, DesktopIcon, Logo, ShieldIcon } from "./icons.js";
import { SecurityLogCard } from "./security-log-card.js";

const PANES = [
  { id: "chat", label: "Chat", Icon: ChatIcon },
  { id: "devices", label: "Devices", Icon: DesktopIcon },
  { id: "security", label: "Security", Icon: ShieldIcon },
];

/** Wide windows show all panes side by side; on a phone the bar at the bottom selects one. */
export class LoggedInView extends Component {
  state = { pane: "chat" };
  #main = createRef();

  componentDidMount() {
    // The focused form was removed: keyboard navigation continues at the content, not at the top of the page.
    this.#main.current.focus({ preventScroll: true });
  }

  show(pane) {
    this.setState({ pane });
    if (this.props.model.account) this.props.onAccount(null);
  }

  notMe = (sessionId) => {
    focusContent();
    this.props.onNotMe(sessionId);
  };

  seen = (key) => {
    focusContent();
    this.props.onSeen(key);
  };

  render({ model, client, room, onLogout, onDone, onAccount }, { pane }) {
    const { config, connection, user, userId, devices, chat, entries, reauthentications, problem, account } = model;
    const shown = account ? "account" : pane;
    // Hidden as soon as the role is removed.
    const isAdministering = Boolean(account?.admin) && canAdminister(user);
    const Brand = account ? "p" : "h1";
    return html`
      <div class=${`logged-in shows-${shown}`} data-testid="app">
        <a class="skip" href="#main">Skip to content</a>
        <header class="topbar">
          <div class="brand"><${Logo} /><${Brand} class="brand-name">Vigil<//></div>
          <${ConnectionState} connection=${connection} />
          <p class="who" data-testid="user-name" title=${user?.email}>${user?.name || user?.email || ""}</p>
          ${canAdminister(user) && html`
            <button class="button small" type="button" data-testid="admin" aria-pressed=${isAdministering}
                    onClick=${() => onAccount(isAdministering ? null : { admin: true })}>Admin</button>`}
          <button class="button small" type="button" data-testid="account"
                  aria-pressed=${account !== null && !isAdministering}
                  onClick=${() => onAccount(account && !isAdministering ? null : {})}>Account</button>
          <button class="button small" type="button" data-testid="logout" onClick=${onLogout}>Log out</button>
        </header>
        <div class="banner-place" role="alert">
          ${problem && html`<p class="banner" data-testid="problem">${problem}</p>`}
          <${DeletionBanner} client=${client} user=${user} />
          <${AlertBanner} alerts=${openAlerts(entries)} onNotMe=${this.notMe} onSeen=${this.seen} />
        </div>
        <main class="panes" id="main" tabindex="-1" ref=${this.#main}>
          <div class="pane pane-chat">
            <${ChatCard} chat=${chat} userId=${userId} isLive=${connection.state === "live"}
                         onSend=${(text) => room.send(text)} onSendAgain=${(key) => room.sendAgain(key)} />
          </div>
          <div class="pane pane-devices">
            <${DevicesCard} client=${client} config=${config} devices=${devices} onDone=${onDone} />
          </div>
          <div class="pane pane-security">
            <${SecurityLogCard} entries=${entries} onNotMe=${this.notMe} />
            <${ConnectionCard} client=${client} connection=${connection} reauthentications=${reauthentications} />
          </div>
          ${account && html`
            <div class="pane pane-account">
              ${isAdministering
                ? html`<${AdminView} client=${client} user=${user} onClose=${() => onAccount(null)} />`
                : html`<${AccountView} client=${client} config=${config} user=${user} notice=${account} onDone=${onDone}
                                       onClose=${() => onAccount(null)} />`}
            </div>`}
        </main>
        <nav class="tabbar" aria-label="Panes">
          ${PANES.map(({ id, label, Icon }) => html`
            <button key=${id} class="tab" type="button" data-testid=${`pane-${id}`}
                    aria-current=${shown === id ? "page" : undefined} onClick=${() => this.show(id)}>
              <${Icon} />${label}
            </button>`)}
        </nav>
      </div>`;
  }
}
