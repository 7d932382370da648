/**
 * The demo page: one model, changed by what the client reports, drawn anew once per frame.
 */
import { NO_DEVICES, VigilClient, asVigilError, watchDevices } from "./vigil-client.js";
import { withEntry } from "./ui/activity-card.js";
import { openAlerts, withoutOver } from "./ui/alert-banner.js";
import { ApprovalDialog } from "./ui/approval-dialog.js";
import { arrivalOf } from "./ui/arrivals.js";
import { ChatRoom, EMPTY_CHAT } from "./ui/chat-room.js";
import { Ended } from "./ui/ended.js";
import { Entrance } from "./ui/entrance.js";
import { html, render } from "./ui/html.js";
import { StepUpDialog } from "./ui/step-up-dialog.js";
import { alertSentence, capitalised, deviceName, errorSentence, isNewsOfLogin, seenDevice } from "./ui/words.js";
import { Workspace } from "./ui/workspace.js";

const client = new VigilClient({ onStepUp: askForProof });

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
  /** `arrived`: a mailed link or a provider led here, which comes before a login from earlier. */
  entrance: { screen: "login", email: "", notice: null, arrived: false },
  /** The account's page, while it is open: what there is to say at its top. */
  account: null,
  /** Who else waits for a word: the question of a sensitive act, and new devices that want in. */
  stepUp: null,
  approvals: [],
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
    nameTab();
  });
}

/** The tab is called as the view's heading; alerts that wait for an answer are told there too. */
function nameTab() {
  const heading = root.querySelector("h1")?.textContent.trim() ?? "Vigil";
  const { length } = openAlerts(model.entries);
  document.title = `${length ? `(${length}) ` : ""}${heading === "Vigil" ? heading : `${heading} · Vigil`}`;
}

function Page() {
  const { link, end, entrance, devices, knownDevices } = model;
  if (end) {
    return html`
      <${Ended} end=${end} knownDevices=${knownDevices} ownSessionId=${devices.ownSessionId} onLogin=${logInAgain} />`;
  }
  if (entrance.arrived || link.state === "logged-out" || link.state === "ended") {
    return html`
      <${Entrance} client=${client} ...${entrance} onScreen=${showScreen} onLoggedIn=${() => showScreen("login")} />`;
  }
  if (!model.user && !model.userId) return html`<${Splash} isWaiting=${link.state === "waiting"} />`;
  return html`
    <${Workspace} model=${model} client=${client} room=${room} onLogout=${logOut} onDone=${noteDone}
                  onNotMe=${disown} onSeen=${noteSeen} onAccount=${(account) => update({ account })} />
    <${Dialogs} />`;
}

function Dialogs() {
  const { stepUp, approvals } = model;
  const [request] = approvals;
  return html`
    ${request && html`
      <${ApprovalDialog} key=${request.approvalId} client=${client} request=${request}
                         onAnswer=${(answer) => answerApproval(request, answer)}
                         onClosed=${(text) => closeApproval(request.approvalId, text ?? PUT_AWAY)} />`}
    ${stepUp && html`<${StepUpDialog} client=${client} ...${stepUp} />`}`;
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

function showScreen(screen, email = model.entrance.email, notice = null, more = {}) {
  update({ entrance: { screen, email, notice, arrived: screen !== "login" && model.entrance.arrived, ...more } });
  showNews();
}

/** What a link had to say is said where the person is: an earlier login does not show the entrance. */
function showNews() {
  const { userId, entrance } = model;
  if (!userId || entrance.arrived || !entrance.notice) return;
  update({ account: entrance.notice, entrance: { ...entrance, notice: null } });
  client.me().then((user) => update({ user }), () => undefined);
}

function logInAgain() {
  update({ end: null, entrance: { screen: "login", email: model.user?.email ?? "", notice: null, arrived: false } });
}

/** One question at a time: whoever needs the same proof meanwhile waits for the same answer. */
function askForProof({ methods }, what) {
  if (!model.stepUp) {
    let onDone;
    const proved = new Promise((resolve) => { onDone = resolve; });
    const close = (answer) => {
      update({ stepUp: null });
      onDone(answer);
    };
    const approvalId = what === APPROVAL_ANSWER ? model.approvals[0]?.approvalId : null;
    update({ stepUp: { methods, proved, approvalId, purpose: approvalId ? "approval" : "account", onDone: close } });
  }
  return model.stepUp.proved;
}

/** "This wasn't me": ends that session, and says what comes next. */
async function disown(sessionId) {
  let outcome = "That device is logged out.";
  try {
    await client.emit("alert-not-me", { sessionId });
  } catch (error) {
    const refusal = asVigilError(error);
    if (refusal.code !== "not_found") {
      return update({ problem: `That device is still logged in. ${errorSentence(refusal)}` });
    }
    outcome = "That device was logged out already.";
  }
  const answered = (entry) => (entry.sessionId === sessionId ? { ...entry, isOpen: false } : entry);
  const entries = withoutOver(model.entries.map(answered), (each) => each === sessionId);
  const text = `${outcome} Change your password now: somebody else may know it.`;
  update({ entries, problem: null, account: { tone: "warning", text } });
  note("good", text);
}

function noteSeen(key) {
  update({ entries: model.entries.map((entry) => (entry.key === key ? { ...entry, isOpen: false } : entry)) });
}

const APPROVAL_ANSWER = "login-approval-answer";
const PUT_AWAY = "A new device asked to be let in. You put the question away.";

/** Approvals that this device answers: its acknowledgement tells of them, whether the push comes before it or behind. */
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
 * @param {{at?: string, key?: string, suspect?: string|null, kinds?: string[]}} [options]
 */
function note(tone, text, { at, key = `entry-${entryCount++}`, ...more } = {}) {
  const time = at ? Date.parse(at) : client.serverNow();
  update({ entries: withEntry(model.entries, { key, at: time, tone, text, ...more }) });
}

const noteDone = (text) => note("good", text);

function onState(link) {
  if (link.state === "waiting" && model.link.state === "live") note("info", "Connection lost. Reconnecting…");
  update({ link, problem: link.state === "live" ? null : model.problem });
  if (link.state === "logged-out") onLoggedOut(link);
}

function onLoggedOut({ code }) {
  const notice = code ? { tone: "warning", text: "Your last session is over. Log in again." } : null;
  const entrance = { ...model.entrance, email: model.user?.email ?? model.entrance.email };
  hasBeenLive = false;
  update({
    user: null, userId: "", entries: [], devices: NO_DEVICES, knownDevices: new Map(), reauthentications: 0,
    problem: null, account: null, ...noQuestions(),
    entrance: notice && !entrance.notice ? { ...entrance, notice } : entrance,
  });
}

function onReady({ userId, recovered }) {
  if (hasBeenLive) note("good", `Connected again. ${recovered ? "Nothing was missed." : "The list was read anew."}`);
  hasBeenLive = true;
  update({ userId, end: null, reauthentications: 0 });
  showNews();
}

function onSessionsChanged({ change, session }) {
  if (change === "updated") return;
  const known = model.knownDevices.get(session.sessionId);
  const whole = { ...known, ...session };
  const isNew = change === "created";
  const text = isNew ? `${seenDevice(whole)}, logged in.` : `${deviceName(whole)} was logged out.`;
  note("info", capitalised(text), { key: `${change}:${session.sessionId}` });
}

function onDevices(devices) {
  const seen = devices.sessions.map((session) => [session.sessionId, session]);
  const live = new Map(seen);
  // A list that may have gaps says of nobody that they are gone.
  const entries = devices.stale ? model.entries : withoutOver(model.entries, (sessionId) => !live.has(sessionId));
  update({ devices, entries, knownDevices: new Map([...model.knownDevices, ...live]) });
}

function onSecurityAlert({ kind, session, at, eventId }) {
  // A login can be news in two ways, told one by one; to whoever answers for it, it is one thing.
  const key = session && isNewsOfLogin(kind) ? `created:${session.sessionId}` : `alert:${eventId}`;
  const kinds = [...model.entries.find((entry) => entry.key === key)?.kinds ?? [], kind];
  const isOther = session && session.sessionId !== client.sessionId;
  // A copied login is stopped already: only of a new one can somebody say that it was not theirs.
  const suspect = isOther && isNewsOfLogin(kind) ? session.sessionId : null;
  const about = { kinds, suspect, sessionId: session?.sessionId, isOpen: Boolean(isOther) };
  note("warning", alertSentence(kinds, session ?? {}), { at, key, ...about });
}

function onApprovalRequested(request) {
  if (Date.parse(request.expiresAt) > client.serverNow()) update({ approvals: [...model.approvals, request] });
}

/** Answered on another device: what is still asked here is over, a proof for it too. */
function onApprovalClosed({ approvalId, status }) {
  if (model.stepUp?.approvalId !== approvalId && answering.delete(approvalId)) return;
  closeApproval(approvalId, `A new device was ${status === "approved" ? "let in" : "turned away"} on another of yours.`);
}

function closeApproval(approvalId, text) {
  update({ approvals: model.approvals.filter((request) => request.approvalId !== approvalId) });
  if (model.stepUp?.approvalId === approvalId) model.stepUp.onDone(false);
  note("info", text, { key: `approval:${approvalId}` });
}

function noQuestions() {
  model.stepUp?.onDone(false);
  return { stepUp: null, approvals: [] };
}

function onEnded(end) {
  hasBeenLive = false;
  update({ end, entries: [], chat: EMPTY_CHAT, account: null, ...noQuestions() });
}

client.on("state", onState);
client.on("ready", onReady);
client.on("reauthenticated", ({ count }) => update({ reauthentications: count }));
client.on("sessions-changed", onSessionsChanged);
client.on("security-alert", onSecurityAlert);
client.on("login-approval-requested", onApprovalRequested);
client.on("login-approval-closed", onApprovalClosed);
client.on("user", (user) => update({ user }));
client.on("token-expired", () => note("warning", "The access token ran out before it could be renewed."));
client.on("draining", () => note("info", "The server is about to restart; this page will come back by itself."));
client.on("ended", onEnded);
watchDevices(client, onDevices);
const room = new ChatRoom(client, (chat) => update({ chat }));

// ── arriving ─────────────────────────────────────────────────────────────────────────────────────

function readArrival() {
  const arrival = arrivalOf(location);
  if (!arrival) return;
  history.replaceState(null, "", location.pathname);
  const { account, screen, notice = null, ...more } = arrival;
  if (account) update({ account });
  else showScreen(screen, "", notice, { ...more, arrived: screen !== "login" && screen !== "resend" });
}

readArrival();
root.replaceChildren();
update({});
client.start();
