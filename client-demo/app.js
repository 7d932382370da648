/**
 * The demo page: one model, changed by what the client reports, drawn anew once per frame.
 */
import { NO_DEVICES, VigilClient, asVigilError, watchDevices } from "./vigil-client.js";
import { withEntry } from "./ui/activity-card.js";
import { ChatRoom, EMPTY_CHAT } from "./ui/chat-room.js";
import { Ended } from "./ui/ended.js";
import { Entrance } from "./ui/entrance.js";
import { html, render } from "./ui/html.js";
import { alertSentence, capitalised, deviceName, errorSentence } from "./ui/words.js";
import { Workspace } from "./ui/workspace.js";

const client = new VigilClient();

let model = {
  link: client.state,
  user: null,
  userId: "",
  devices: NO_DEVICES,
  /** Every device seen: one that logs this one out may have left the list a moment before. */
  knownDevices: new Map(),
  chat: EMPTY_CHAT,
  entries: [],
  reauthentications: 0,
  end: null,
  problem: null,
  entrance: { screen: "login", email: "", notice: null },
};

const root = document.getElementById("app");
let isDrawing = false;

/** @param {Partial<typeof model>} change */
function update(change) {
  model = { ...model, ...change };
  if (isDrawing) return;
  isDrawing = true;
  // A microtask, not a frame: a tab in the background still shows what it knows.
  queueMicrotask(() => {
    isDrawing = false;
    render(html`<${Page} />`, root);
  });
}

function Page() {
  const { link, end, entrance, devices, knownDevices } = model;
  if (end) {
    return html`
      <${Ended} end=${end} knownDevices=${knownDevices} ownSessionId=${devices.ownSessionId} onLogin=${logInAgain} />`;
  }
  if (link.state === "logged-out" || link.state === "ended") {
    return html`<${Entrance} client=${client} ...${entrance} onScreen=${showScreen} />`;
  }
  if (!model.user && !model.userId) return html`<${Splash} isWaiting=${link.state === "waiting"} />`;
  return html`<${Workspace} model=${model} client=${client} room=${room} onLogout=${logOut} onDone=${noteDone} />`;
}

/** Nobody is known yet: an earlier login is being looked for. */
function Splash({ isWaiting }) {
  return html`
    <main class="splash" aria-busy="true">
      <img class="splash-mark" src="/demo/icon.svg" alt="" width="48" height="48" />
      <p class="splash-text" role="status">
        ${isWaiting ? "The server cannot be reached. Trying again…" : "Opening Vigil…"}
      </p>
    </main>`;
}

// ── what the person does ─────────────────────────────────────────────────────────────────────────

function showScreen(screen, email = model.entrance.email, notice = null) {
  update({ entrance: { screen, email, notice } });
}

function logInAgain() {
  update({ end: null, entrance: { screen: "login", email: model.user?.email ?? "", notice: null } });
}

async function logOut() {
  try {
    await client.logout();
  } catch (error) {
    update({ problem: `You are still logged in. ${errorSentence(asVigilError(error))}` });
  }
}

// ── what happens ─────────────────────────────────────────────────────────────────────────────────

let entryCount = 0;
let hasBeenLive = false;

/**
 * @param {"info"|"good"|"warning"} tone
 * @param {string} text
 * @param {{at?: string, key?: string}} [options]
 */
function note(tone, text, { at, key } = {}) {
  const time = at ? Date.parse(at) : client.serverNow();
  update({ entries: withEntry(model.entries, { key: key ?? `entry-${entryCount++}`, at: time, tone, text }) });
}

const noteDone = (text) => note("good", text);

function onState(link) {
  if (link.state === "waiting" && model.link.state === "live") note("info", "Connection lost. Reconnecting…");
  update({ link, user: client.user ?? model.user, problem: link.state === "live" ? null : model.problem });
  if (link.state === "logged-out") onLoggedOut(link);
}

function onLoggedOut({ code }) {
  const notice = code ? { tone: "warning", text: "Your last session is over. Log in again." } : null;
  const entrance = { ...model.entrance, email: model.user?.email ?? model.entrance.email };
  hasBeenLive = false;
  update({
    user: null, userId: "", entries: [], devices: NO_DEVICES, knownDevices: new Map(), reauthentications: 0,
    problem: null,
    entrance: notice && !entrance.notice ? { ...entrance, notice } : entrance,
  });
}

function onReady({ userId, recovered }) {
  if (hasBeenLive) note("good", `Connected again. ${recovered ? "Nothing was missed." : "The list was read anew."}`);
  hasBeenLive = true;
  update({ userId, end: null, reauthentications: 0, user: client.user });
  if (!client.user) client.me().then((user) => update({ user }), () => undefined);
}

function onSessionsChanged({ change, session }) {
  if (change === "updated") return;
  const known = model.knownDevices.get(session.sessionId);
  const name = capitalised(deviceName({ ...known, ...session }));
  const isNew = change === "created";
  note("info", isNew ? `${name} logged in.` : `${name} was logged out.`, { key: `${change}:${session.sessionId}` });
}

function onDevices(devices) {
  const seen = devices.sessions.map((session) => [session.sessionId, session]);
  update({ devices, knownDevices: new Map([...model.knownDevices, ...seen]) });
}

function onSecurityAlert({ kind, session, at, eventId }) {
  const key = kind === "new_device" && session ? `created:${session.sessionId}` : `alert:${eventId}`;
  note("warning", alertSentence(kind, session ?? {}), { at, key });
}

function onEnded(end) {
  hasBeenLive = false;
  update({ end, entries: [], chat: EMPTY_CHAT });
}

client.on("state", onState);
client.on("ready", onReady);
client.on("reauthenticated", ({ count }) => update({ reauthentications: count }));
client.on("sessions-changed", onSessionsChanged);
client.on("security-alert", onSecurityAlert);
client.on("token-expired", () => note("warning", "The access token ran out before it could be renewed."));
client.on("draining", () => note("info", "The server is about to restart; this page will come back by itself."));
client.on("ended", onEnded);
watchDevices(client, onDevices);
const room = new ChatRoom(client, (chat) => update({ chat }));

// ── arriving ─────────────────────────────────────────────────────────────────────────────────────

const VERIFY_FAILURES = {
  token_expired: "That link has expired. Ask for a new one.",
  invalid_token: "That link is not valid any more. Ask for a new one, or log in if it was used already.",
};

/** The mailed link ends here, with its outcome in the address; a reload must not say it again. */
function readArrival() {
  const query = new URLSearchParams(location.search);
  const verified = query.get("verified");
  if (verified === null) return;
  history.replaceState(null, "", location.pathname);
  if (verified === "1") return showScreen("login", "", { tone: "good", text: "E-mail verified. You can log in now." });
  const text = VERIFY_FAILURES[query.get("code") ?? ""] ?? VERIFY_FAILURES.invalid_token;
  showScreen("resend", "", { tone: "warning", text });
}

readArrival();
root.replaceChildren();
update({});
client.start();
