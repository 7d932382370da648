/** The demo page: one model, updated by the client's events and rendered again after each change. */
import { alertSentence, canBeReported, isLoginAlert } from "./ui/alert-messages.js";
import { ChatRoom, EMPTY_CHAT } from "./ui/chat-room.js";
import { describeDevice, deviceName } from "./ui/device-names.js";
import { focusContent } from "./ui/dialog.js";
import { errorSentence } from "./ui/error-messages.js";
import { capitalised } from "./ui/format.js";
import { html, render } from "./ui/html.js";
import { addEntry, clearEnded, openAlerts } from "./ui/log-entries.js";
import { LoggedOutView } from "./ui/logged-out-view.js";
import { LoginView } from "./ui/login-view.js";
import { HOME, addressOf, readRoute } from "./ui/routes.js";
import { UNKNOWN_CONFIG, readServerConfig } from "./ui/server-config.js";
import { readUrlParameters } from "./ui/url-parameters.js";
import { io } from "./vendor/socket.io.esm.min.js";
import { NO_DEVICES, VigilClient, asVigilError, watchDevices } from "./vigil-client.js";

const client = new VigilClient({ io, onStepUp: askForStepUp });

let model = {
  config: UNKNOWN_CONFIG,
  connection: client.state,
  user: null,
  userId: "",
  devices: NO_DEVICES,
  /** When the connection was lost; null while it is live. */
  asOf: null,
  /** All devices seen so far: the device that ended this session may already have left the list. */
  knownDevices: new Map(),
  chat: EMPTY_CHAT,
  entries: [],
  reauthentications: 0,
  end: null,
  problem: null,
  /** That the service closed the connection, and why. */
  closed: "",
  /** `fromUrl`: opened by a mailed link or a provider, which takes precedence over an existing session. */
  login: { screen: "login", email: "", notice: null, fromUrl: false },
  /** Which view of the login the URL names, and the notice of the account page. */
  route: readRoute(location),
  notice: null,
  /** Open dialogs: a step-up, and new devices that ask for approval. */
  stepUp: null,
  approvals: [],
  /** What only a logged-in user sees: loaded at the login. */
  views: { LoggedInView: null, isMissing: false },
};

const root = document.getElementById("app");
let isDrawing = false;

/** @param {Partial<typeof model>} change */
function update(change) {
  model = { ...model, ...change };
  if (isDrawing) return;
  isDrawing = true;
  // A microtask, not an animation frame, so that background tabs are updated too.
  queueMicrotask(() => {
    isDrawing = false;
    const hadFocus = document.activeElement !== document.body;
    render(html`<${Page} />`, root);
    // The focused element was removed: keyboard navigation continues at the content, not at the top of the page.
    if (hadFocus && document.activeElement === document.body) focusContent();
    updateTitle();
  });
}

/** The tab's title: what is shown, the view's heading, and the number of unanswered alerts. */
function updateTitle() {
  const words = ["[data-title]", "h1"].map((each) => root.querySelector(each)?.textContent.trim());
  const { length } = openAlerts(model.entries);
  const title = [...words.filter((text) => text && text !== "Vigil"), "Vigil"].join(" · ");
  document.title = `${length ? `(${length}) ` : ""}${title}`;
}

// ── views and the browser's history ───────────────────────────────────────────────────────────────

/** Shows a view of the login and adds it to the browser's history. */
function go(route, notice = null) {
  const address = addressOf(location, route);
  if (address !== location.pathname + location.hash) history.pushState(null, "", address);
  update({ route, notice });
}

/** Shows a view in place of the current entry of the browser's history. */
function replaceRoute(route, notice = null) {
  history.replaceState(null, "", addressOf(location, route));
  update({ route, notice });
}

/** Back, Forward, or a fragment that was typed. */
function onHistory() {
  if (showUrlScreen()) return;
  update({ route: readRoute(location), notice: null });
}

function Page() {
  const { config, connection, end, login, devices, knownDevices, views } = model;
  if (end) {
    return html`
      <${LoggedOutView} end=${end} config=${config} knownDevices=${knownDevices} ownSessionId=${devices.ownSessionId}
                        onLogin=${logInAgain} />`;
  }
  if (login.fromUrl || connection.state === "logged-out" || connection.state === "ended") {
    return html`
      <${LoginView} client=${client} config=${config} ...${login} onScreen=${showScreen}
                    onLoggedIn=${() => showScreen("login")} />`;
  }
  if (views.isMissing) return html`<${ReloadScreen} />`;
  if ((!model.user && !model.userId) || !views.LoggedInView) {
    return html`<${Splash} isWaiting=${connection.state === "waiting"} />`;
  }
  return html`
    <${views.LoggedInView} model=${model} client=${client} room=${room} dialogs=${DIALOGS} onLogout=${logOut}
                           onDone=${logDone} onNotMe=${reportNotMe} onSeen=${dismissAlert} onGo=${go}
                           onTitle=${updateTitle} />`;
}

const DIALOGS = {
  onAnswer: answerApproval,
  onDenied: warnOfDenied,
  onClosed: (approvalId, text) => closeApproval(approvalId, text ?? DISMISSED),
};

/** Shown while an existing session is being restored, or its view is being loaded. */
function Splash({ isWaiting }) {
  return html`
    <main class="splash" aria-busy="true">
      <img class="splash-mark" src="/demo/icon.svg" alt="" width="48" height="48" />
      <p class="splash-text" role="status">
        ${isWaiting ? "The server cannot be reached. Trying again…" : "Opening Vigil…"}
      </p>
    </main>`;
}

/** The server is gone, or it was updated since this page was opened and has only the newer files. */
function ReloadScreen() {
  return html`
    <main class="splash">
      <p class="splash-text" role="alert">This page could not be loaded completely.</p>
      <button class="button primary" type="button" data-testid="reload" onClick=${() => location.reload()}>
        Reload the page</button>
    </main>`;
}

/** Tries again at the next token. */
async function loadViews() {
  if (model.views.LoggedInView) return;
  const views = await import("./ui/logged-in-view.js").catch(() => null);
  update({ views: { LoggedInView: views?.LoggedInView ?? null, isMissing: !views } });
}

// ── user actions ──────────────────────────────────────────────────────────────────────────────────

function showScreen(screen, email = model.login.email, notice = null, more = {}) {
  update({ login: { screen, email, notice, fromUrl: screen !== "login" && model.login.fromUrl, ...more } });
  showNotice();
}

/** With an existing session, shows the notice of a link on the account page: the login view is not shown. */
function showNotice() {
  const { userId, login } = model;
  if (!userId || login.fromUrl || !login.notice) return;
  go({ view: "account", part: "" }, login.notice);
  update({ login: { ...login, notice: null } });
  client.me().then((user) => update({ user }), () => undefined);
}

function logInAgain() {
  update({ end: null, login: { screen: "login", email: model.user?.email ?? "", notice: null, fromUrl: false } });
}

/** One dialog at a time: concurrent requests wait for the same answer. */
function askForStepUp({ methods }, what) {
  if (!model.stepUp) {
    let onDone;
    const outcome = new Promise((resolve) => { onDone = resolve; });
    const close = (answer) => {
      update({ stepUp: null });
      onDone(answer);
    };
    const approvalId = what === APPROVAL_ANSWER ? model.approvals[0]?.approvalId : null;
    update({ stepUp: { methods, outcome, approvalId, purpose: approvalId ? "approval" : "account", onDone: close } });
  }
  return model.stepUp.outcome;
}

/** "This wasn't me": ends that session and advises to change the password. */
async function reportNotMe(sessionId) {
  let outcome = "That device is logged out.";
  try {
    await client.emit("alert-not-me", { sessionId });
  } catch (error) {
    const refusal = asVigilError(error);
    if (refusal.code !== "not_found") {
      return update({ problem: `That device is still logged in. ${errorSentence(refusal)}` });
    }
    outcome = "That device was already logged out.";
  }
  const answered = (entry) => (entry.sessionId === sessionId ? { ...entry, isOpen: false } : entry);
  const entries = clearEnded(model.entries.map(answered), (each) => each === sessionId);
  const text = `${outcome} Change your password now: someone else may know it.`;
  update({ entries, problem: null });
  go({ view: "account", part: "" }, { tone: "warning", text, isAlarm: true });
  logEntry("good", text);
}

/** "It was me", or the session has ended: on every device, except for alerts about this device's own session. */
async function dismissAlert(key) {
  const { sessionId, suspect } = model.entries.find((entry) => entry.key === key);
  setOpen((entry) => entry.key === key, false);
  if (!suspect || sessionId === client.sessionId) return;
  try {
    await client.account.dismissAlerts(sessionId);
  } catch (error) {
    const refusal = asVigilError(error);
    if (refusal.code === "not_found") return;
    setOpen((entry) => entry.key === key, true);
    update({ problem: `The alert was not dismissed. ${errorSentence(refusal)}` });
  }
}

/** @param {(entry: import("./ui/log-entries.js").Entry) => boolean} isMeant @param {boolean} isOpen */
function setOpen(isMeant, isOpen) {
  update({ entries: model.entries.map((entry) => (isMeant(entry) ? { ...entry, isOpen } : entry)) });
}

const APPROVAL_ANSWER = "login-approval-answer";
const DISMISSED = "A new device asked for approval. You dismissed the request.";

/** Whoever started a login that was denied entered the password. */
function warnOfDenied() {
  const text = "The login was denied. Change your password: whoever logged in may know it.";
  go({ view: "account", part: "" }, { tone: "warning", text, isAlarm: true });
}

/** Approvals that this device is answering: their result is taken from the acknowledgement, not from the push. */
const answering = new Set();

async function answerApproval({ approvalId }, answer) {
  answering.add(approvalId);
  try {
    return await client.emit(APPROVAL_ANSWER, { approvalId, ...answer });
  } catch (error) {
    answering.delete(approvalId);
    throw error;
  }
}

async function logOut() {
  try {
    await client.logout();
    // Whoever logs in next begins at the beginning.
    replaceRoute(HOME);
  } catch (error) {
    update({ problem: `You are still logged in. ${errorSentence(asVigilError(error))}` });
  }
}

// ── client events ─────────────────────────────────────────────────────────────────────────────────

let entryCount = 0;
let hasBeenLive = false;

/**
 * @param {"info"|"good"|"warning"} tone
 * @param {string} text
 * @param {{at?: string, key?: string, suspect?: string|null, kinds?: string[]}} [options]
 */
function logEntry(tone, text, { at, key = `entry-${entryCount++}`, ...more } = {}) {
  const time = at ? Date.parse(at) : client.serverNow();
  update({ entries: addEntry(model.entries, { key, at: time, tone, text, ...more }) });
}

const logDone = (text) => logEntry("good", text);

function onState(connection) {
  const isLostNow = connection.state === "waiting" && model.connection.state === "live" && connection.code !== "closing";
  if (isLostNow) logEntry("info", "Connection lost. Reconnecting…");
  const isLive = connection.state === "live";
  const isLost = hasBeenLive && ["connecting", "waiting"].includes(connection.state);
  update({
    connection,
    problem: isLive ? null : model.problem,
    asOf: isLive ? null : model.asOf ?? (isLost ? client.serverNow() : null),
  });
  if (connection.state === "logged-out") onLoggedOut(connection);
}

function onLoggedOut({ code }) {
  const notice = code ? { tone: "warning", text: "Your session has ended. Log in again." } : null;
  const login = { ...model.login, email: model.user?.email ?? model.login.email };
  hasBeenLive = false;
  update({
    user: null, userId: "", entries: [], devices: NO_DEVICES, knownDevices: new Map(), reauthentications: 0,
    problem: null, notice: null, asOf: null, ...closeDialogs(),
    // A mailed link is about something else: its own page says what to do.
    login: notice && !login.notice && !login.fromUrl ? { ...login, notice } : login,
  });
}

function onClosing({ reason }) {
  const text = `The service closed this connection: “${reason}”`;
  logEntry("info", text);
  update({ closed: text });
}

function onReady({ userId, recovered }) {
  if (hasBeenLive) logEntry("good", `Connected again. ${recovered ? "Nothing was missed." : "The device list was reloaded."}`);
  hasBeenLive = true;
  update({ userId, end: null, reauthentications: 0 });
  showNotice();
}

function onSessionsChanged({ change, session }) {
  if (change === "updated") {
    // Another device dismissed them.
    if (session.alerts?.length === 0) setOpen((entry) => entry.isOpen && entry.sessionId === session.sessionId, false);
    return;
  }
  const known = model.knownDevices.get(session.sessionId);
  const whole = { ...known, ...session };
  const isNew = change === "created";
  const text = isNew ? `${describeDevice(whole)}, logged in.` : `${deviceName(whole)} was logged out.`;
  logEntry("info", capitalised(text), { key: `${change}:${session.sessionId}` });
}

function onDevices(devices) {
  const seen = devices.sessions.map((session) => [session.sessionId, session]);
  const live = new Map(seen);
  // A stale list does not prove that a session has ended.
  const entries = devices.stale ? model.entries : clearEnded(model.entries, (sessionId) => !live.has(sessionId));
  update({ devices, entries, knownDevices: new Map([...model.knownDevices, ...live]) });
  for (const session of devices.sessions) restoreAlerts(session);
}

/** Alerts of before this page was opened come back until they are answered. */
function restoreAlerts(session) {
  for (const { kind, at } of session.alerts ?? []) {
    // This device logged in, or let that device in.
    if ((session.isCurrent || session.approvedBy === client.sessionId) && isLoginAlert(kind)) continue;
    const known = model.entries.find(({ key }) => key === alertKey(kind, session));
    if (!known?.kinds?.includes(kind)) onSecurityAlert({ kind, session, at });
  }
}

/** One login can cause two alerts: both share one entry, and a repeated alert replaces the earlier one. */
function alertKey(kind, session, eventId) {
  if (!session || !canBeReported(kind)) return `alert:${eventId}`;
  return `${isLoginAlert(kind) ? "created" : kind}:${session.sessionId}`;
}

function onSecurityAlert({ kind, session, at, eventId }) {
  const key = alertKey(kind, session, eventId);
  const kinds = [...new Set([...model.entries.find((entry) => entry.key === key)?.kinds ?? [], kind])];
  // For this device's own session, only its use from elsewhere is an alert.
  const isAlert = session && (session.sessionId !== client.sessionId || kind === "refresh_elsewhere");
  // A session that is already blocked needs no "This wasn't me".
  const suspect = isAlert && canBeReported(kind) ? session.sessionId : null;
  const about = { kinds, suspect, sessionId: session?.sessionId, isOpen: Boolean(isAlert) };
  logEntry("warning", alertSentence(kinds, session ?? {}), { at, key, ...about });
}

function onApprovalRequested(request) {
  if (Date.parse(request.expiresAt) > client.serverNow()) update({ approvals: [...model.approvals, request] });
}

/** Answered on another device: closes the dialog here, and a step-up for it. */
function onApprovalClosed({ approvalId, status, tryAgain }) {
  if (model.stepUp?.approvalId !== approvalId && answering.delete(approvalId)) return;
  closeApproval(approvalId, tryAgain ? "A wrong number for a new device was chosen on another of your devices."
    : `A new device was ${status} on another of your devices.`);
}

function closeApproval(approvalId, text) {
  update({ approvals: model.approvals.filter((request) => request.approvalId !== approvalId) });
  if (model.stepUp?.approvalId === approvalId) model.stepUp.onDone(false);
  logEntry("info", text, { key: `approval:${approvalId}` });
}

function closeDialogs() {
  model.stepUp?.onDone(false);
  return { stepUp: null, approvals: [] };
}

function onEnded(end) {
  hasBeenLive = false;
  update({ end, entries: [], chat: EMPTY_CHAT, notice: null, asOf: null, ...closeDialogs() });
}

client.on("state", onState);
client.on("ready", onReady);
client.on("token", loadViews);
client.on("reauthenticated", ({ count }) => update({ reauthentications: count }));
client.on("sessions-changed", onSessionsChanged);
client.on("security-alert", onSecurityAlert);
client.on("login-approval-requested", onApprovalRequested);
client.on("login-approval-closed", onApprovalClosed);
client.on("user", (user) => update({ user }));
client.on("token-expired", () => logEntry("warning", "The access token expired before it could be renewed."));
client.on("draining", () => logEntry("info", "The server is restarting. This page will reconnect automatically."));
client.on("closing", onClosing);
client.on("ended", onEnded);
watchDevices(client, onDevices);
const room = new ChatRoom(client, (chat) => update({ chat }));

// ── start ─────────────────────────────────────────────────────────────────────────────────────────

/** Whether the URL asked for a screen or a notice. It is removed from the URL, and so from the browser's history. */
function showUrlScreen() {
  const parameters = readUrlParameters(location);
  if (!parameters) return false;
  const { account, screen, notice = null, returnTo = "", ...more } = parameters;
  // Of where a login returns to, only the view is used: a link may name any address.
  const route = readRoute({ hash: returnTo.replace(/^[^#]*/, "") });
  replaceRoute(account ? { view: "account", part: "" } : route, account);
  if (!account) showScreen(screen, "", notice, { ...more, fromUrl: screen !== "login" && screen !== "resend" });
  return true;
}

showUrlScreen();
addEventListener("popstate", onHistory);
addEventListener("hashchange", onHistory);
root.replaceChildren();
update({});
readServerConfig(client).then((config) => update({ config }));
client.start();
