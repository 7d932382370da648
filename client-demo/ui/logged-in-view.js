/** The view of a logged-in user: devices, security log, connection and chat; account and administration pages. */
import { AccountView } from "./account-view.js";
import { AdminView, canAdminister } from "./admin-view.js";
import { AlertBanner } from "./alert-banner.js";
import { ChatCard } from "./chat-card.js";
import { ClosedBanner } from "./closed-banner.js";
import { ConnectionCard, ConnectionState } from "./connection-card.js";
import { DeletionBanner } from "./deletion-banner.js";
import { DevicesCard } from "./devices-card.js";
import { focusContent } from "./dialog.js";
import { Dialogs } from "./dialogs.js";
import { Component, createRef, html } from "./html.js";
import { ChatIcon, DesktopIcon, Logo, ShieldIcon } from "./icons.js";
import { openAlerts } from "./log-entries.js";
import { HOME, isHome } from "./routes.js";
import { SecurityLogCard } from "./security-log-card.js";

const PANES = [
  { id: "devices", label: "Devices", Icon: DesktopIcon },
  { id: "security", label: "Security", Icon: ShieldIcon },
  { id: "chat", label: "Chat", Icon: ChatIcon },
];

const ACCOUNT = { view: "account", part: "" };
const ADMIN = { view: "admin", part: "" };

/**
 * Wide windows show all panes side by side; on a phone the bar at the bottom selects one.
 *
 * Properties: `model`, `client`, `room`, `onLogout()`, `onDone(text)`, `onNotMe(sessionId)`, `onSeen(key)`,
 * `onGo(route)` shows another view, `onTitle()` reads the tab's title again; `dialogs`: the listeners of `Dialogs`.
 */
export class LoggedInView extends Component {
  #main = createRef();
  /** The pane to return to. */
  #pane = HOME;

  componentDidMount() {
    // The focused form was removed: keyboard navigation continues at the content, not at the top of the page.
    if (!this.#main.current.contains(document.activeElement)) this.#main.current.focus({ preventScroll: true });
  }

  componentDidUpdate({ model }) {
    // Each view begins at its top.
    if (model.route.view !== this.props.model.route.view) scrollTo(0, 0);
  }

  /** The link's own fragment would name a view. */
  skip = (event) => {
    event.preventDefault();
    focusContent();
  };

  render({ model, client, room, dialogs, onLogout, onDone, onNotMe, onSeen, onGo, onTitle }) {
    const { config, connection, user, userId, devices, chat, entries, reauthentications, problem, closed, asOf } = model;
    // Hidden as soon as the role is removed.
    const route = model.route.view === "admin" && !canAdminister(user) ? HOME : model.route;
    if (isHome(route)) this.#pane = route;
    const close = () => onGo(this.#pane);
    const Brand = isHome(route) ? "h1" : "p";
    return html`
      <div class=${`logged-in shows-${route.view}`} data-testid="app">
        <a class="skip" href="#main" onClick=${this.skip}>Skip to content</a>
        <div class="head">
          <header class="topbar">
            <div class="brand"><${Logo} /><${Brand} class="brand-name">Vigil<//></div>
            <${ConnectionState} connection=${connection} />
            <p class="who" data-testid="user-name" title=${user?.email}>${user?.name || user?.email || ""}</p>
            ${canAdminister(user) && html`<${ViewButton} label="Admin" to=${ADMIN} route=${route} close=${close} onGo=${onGo} />`}
            <${ViewButton} label="Account" to=${ACCOUNT} route=${route} close=${close} onGo=${onGo} />
            <button class="button small" type="button" data-testid="logout" onClick=${onLogout}>Log out</button>
          </header>
          <div class="banner-place" role="alert">
            ${problem && html`<p class="banner" data-testid="problem">${problem}</p>`}
            <${ClosedBanner} connection=${connection} text=${closed} onReconnect=${() => client.reconnect()} />
            <${DeletionBanner} client=${client} user=${user} />
            <${AlertBanner} alerts=${openAlerts(entries)} onNotMe=${onNotMe} onSeen=${onSeen} />
          </div>
        </div>
        <main class="panes" id="main" tabindex="-1" ref=${this.#main}>
          <div class="pane pane-devices">
            <${DevicesCard} client=${client} config=${config} devices=${devices} asOf=${asOf} onDone=${onDone} />
          </div>
          <div class="pane pane-security">
            <${ConnectionCard} client=${client} connection=${connection} reauthentications=${reauthentications} />
            <${SecurityLogCard} client=${client} entries=${entries} onNotMe=${onNotMe} />
          </div>
          <div class="pane pane-chat">
            <${ChatCard} chat=${chat} userId=${userId} isLive=${connection.state === "live"}
                         people=${room.people} onSend=${(text) => room.send(text)} onSendAgain=${(key) => room.sendAgain(key)} />
          </div>
          ${route.view === "account" && html`
            <div class="pane-whole">
              <${AccountView} client=${client} config=${config} user=${user} notice=${model.notice} onDone=${onDone}
                              onClose=${close} />
            </div>`}
          ${route.view === "admin" && html`
            <div class="pane-whole">
              <${AdminView} client=${client} user=${user} part=${route.part} onClose=${close} onTitle=${onTitle}
                            onPart=${(part) => onGo({ view: "admin", part })} />
            </div>`}
        </main>
        <nav class="tabbar" aria-label="Views">
          ${PANES.map(({ id, label, Icon }) => html`
            <button key=${id} class="tab" type="button" data-testid=${`pane-${id}`}
                    aria-current=${route.view === id ? "page" : undefined}
                    onClick=${() => onGo({ view: id, part: "" })}><${Icon} />${label}</button>`)}
        </nav>
      </div>
      <${Dialogs} client=${client} config=${config} stepUp=${model.stepUp} approvals=${model.approvals} ...${dialogs} />`;
  }
}

/** Opens a view, or closes it. */
function ViewButton({ label, to, route, close, onGo }) {
  const isOpen = route.view === to.view;
  return html`
    <button class="button small" type="button" data-testid=${to.view} aria-pressed=${isOpen}
            onClick=${isOpen ? close : () => onGo(to)}>${label}</button>`;
}
