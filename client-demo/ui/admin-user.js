/** One user for administrators: roles, account lock, second factors, sessions and audit log. */
import { asVigilError } from "../vigil-errors.js";
import { AdminAuditLog } from "./admin-audit-log.js";
import { ConfirmDialog } from "./confirm-dialog.js";
import { endAllQuestion, endQuestion, factorsQuestion, fullName, lockQuestion, shortName } from "./admin-questions.js";
import { deviceName, placeName } from "./device-names.js";
import { errorSentence } from "./error-messages.js";
import { relativeTime } from "./format.js";
import { Component, createRef, html } from "./html.js";
import { LoadProblem } from "./load-problem.js";
import { deliverySentence } from "./logout-messages.js";

/**
 * Properties: `client`, `userId`, `ownUserId`, `isAdmin`, `roles` that can be granted, `known` names by user id, `onBack()`,
 * `onTitle()`.
 */
export class AdminUser extends Component {
  /** `asking`: the question that is open, and what to do after it. */
  state = { whole: null, isMissing: "", result: { text: "", failed: false }, busy: false, asking: null, trail: false };
  #heading = createRef();
  #reason = createRef();

  componentDidMount() {
    this.load();
  }

  #path(rest = "") {
    return `/admin/users/${encodeURIComponent(this.props.userId)}${rest}`;
  }

  load = async () => {
    const { client, known, userId, onTitle } = this.props;
    try {
      const whole = await client.call("GET", this.#path());
      known.set(userId, fullName(whole.user));
      this.setState({ whole, isMissing: "" }, () => {
        this.#heading.current?.focus();
        onTitle();
      });
    } catch (error) {
      this.setState({ isMissing: errorSentence(asVigilError(error)) });
    }
  };

  getSnapshotBeforeUpdate() {
    return document.activeElement !== document.body;
  }

  /** When the focused element was removed, such as the session that was ended, focuses the name. */
  componentDidUpdate(_props, _state, hadFocus) {
    if (hadFocus && document.activeElement === document.body) this.#heading.current?.focus();
  }

  /**
   * Applies the changes in the action's answer: reloading would add an event to the audit log.
   * @param {() => Promise<{text: string, user?: object, sessions?: object[]}>} act resolves
   *   with the result to show and the changed data
   */
  async run(act) {
    if (this.state.busy) return;
    this.setState({ busy: true, asking: null, result: { text: "", failed: false } });
    try {
      const { text, ...changed } = await act();
      this.setState(({ whole }) => ({ whole: { ...whole, ...changed }, result: { text, failed: false } }));
    } catch (error) {
      this.setState({ result: { text: errorSentence(asVigilError(error)), failed: true } });
    } finally {
      this.setState({ busy: false });
    }
  }

  /** Asks before an action. @param {object} question of admin-questions.js @param {() => void} act */
  ask(question, act) {
    if (!this.state.busy) this.setState({ asking: { ...question, act } });
  }

  setRole = (role, has) => this.run(async () => {
    const others = this.state.whole.user.roles.filter((each) => each !== role);
    const roles = has ? [...others, role] : others;
    const { user } = await this.props.client.call("PUT", this.#path("/roles"), { roles });
    return { user, text: `${shortName(user)} is ${has ? "now" : "no longer"} ${role}.` };
  });

  lock = async () => {
    const reason = this.#reason.current.value.trim();
    await this.run(async () => {
      const body = reason ? { reason } : {};
      const { user, delivery, revoked } = await this.props.client.call("POST", this.#path("/lock"), body);
      const ended = revoked ? deliverySentence(delivery, revoked) : "No device was logged in.";
      return { user, sessions: [], text: `Locked. ${ended}` };
    });
  };

  unlock = () => this.run(async () => {
    const { user } = await this.props.client.call("POST", this.#path("/unlock"), {});
    return { user, text: "Unlocked. The user can log in again." };
  });

  removeFactors = () => this.run(async () => {
    const { removed, kept, revoked, delivery } = await this.props.client.call("DELETE", this.#path("/factors"));
    const names = removed.map(factorName).join(", ");
    const text = removed.length ? `Removed: ${names}. ${revoked ? deliverySentence(delivery, revoked) : ""}`
      : "Nothing was removed.";
    const stays = "A passkey was kept because it is the only login method: the user must first set a password with "
      + "“Forgot your password?”.";
    const factors = this.state.whole.factors.filter((factor) => kept.includes(factor));
    return {
      factors: removed.length ? factors : this.state.whole.factors,
      sessions: removed.length ? [] : this.state.whole.sessions,
      text: kept.length ? `${text} ${stays}` : text,
    };
  });

  endAll = () => this.run(async () => {
    const { revoked, delivery } = await this.props.client.call("DELETE", this.#path("/sessions"));
    // May include the administrator's own session, which closes this page.
    return { sessions: [], text: deliverySentence(delivery, revoked) };
  });

  endOne = (sessionId) => this.run(async () => {
    const path = this.#path(`/sessions/${encodeURIComponent(sessionId)}`);
    const { delivery } = await this.props.client.call("DELETE", path);
    const sessions = this.state.whole.sessions.filter((session) => session.sessionId !== sessionId);
    return { sessions, text: deliverySentence(delivery, 1) };
  });

  render({ client, onBack }, { whole, isMissing, result, asking }) {
    return html`
      <div class="admin-user" data-testid="admin-person">
        <button class="link" type="button" data-testid="admin-back" onClick=${onBack}>Back to all users</button>
        ${isMissing && html`<${LoadProblem} client=${client} text=${isMissing} onRetry=${this.load} />`}
        ${whole && html`
          <h2 tabindex="-1" ref=${this.#heading} class="breakable" data-title>${shortName(whole.user)}</h2>`}
        <p class=${`result ${result.failed ? "is-error" : ""}`} role="status" data-testid="admin-result">${result.text}</p>
        ${whole && this.parts(this.props, this.state)}
        ${asking && this.question(asking)}
      </div>`;
  }

  parts({ client, userId, ownUserId, isAdmin, roles, known }, { whole, busy, trail }) {
    return html`
      <${Facts} ...${whole} now=${client.serverNow()} />
      ${isAdmin && roles.length > 0 && html`
        <${Roles} user=${whole.user} roles=${roles} busy=${busy} onSet=${this.setRole} />`}
      ${isAdmin && whole.user.userId !== ownUserId && this.lockButton(whole, busy)}
      ${isAdmin && whole.factors.length > 0 && html`
        <button class="button danger" type="button" data-testid="admin-remove-factors" aria-disabled=${busy}
                onClick=${() => this.ask(factorsQuestion(whole), this.removeFactors)}>Remove two-step verification…</button>`}
      <${Sessions} sessions=${whole.sessions} ownSessionId=${client.sessionId} now=${client.serverNow()}
                   busy=${busy} onEndAll=${() => this.ask(endAllQuestion(whole), this.endAll)}
                   onEnd=${(session) => this.ask(endQuestion(whole, session), () => this.endOne(session.sessionId))} />
      ${isAdmin && (trail
        ? html`<h3>Audit log</h3><${AdminAuditLog} client=${client} userId=${userId} known=${known} />`
        : html`<button class="button" type="button" data-testid="admin-trail"
                       onClick=${() => this.setState({ trail: true })}>Audit log of this account</button>`)}`;
  }

  question({ title, text, label, act, withReason }) {
    return html`
      <${ConfirmDialog} title=${title} confirmLabel=${label} onConfirm=${act}
                        onCancel=${() => this.setState({ asking: null })}>
        <p class="breakable">${text}</p>
        ${withReason && html`
          <div class="field">
            <label for="lock-reason">Reason <span class="muted">optional</span></label>
            <input id="lock-reason" maxlength="200" autocomplete="off" ref=${this.#reason}
                   aria-describedby="lock-reason-note" />
            <p class="field-note" id="lock-reason-note">For the audit log. The user does not see it.</p>
          </div>`}
      <//>`;
  }

  lockButton(whole, busy) {
    if (whole.user.lockedAt) {
      return html`<button class="button" type="button" data-testid="admin-unlock" aria-disabled=${busy}
                          onClick=${this.unlock}>Unlock this account</button>`;
    }
    return html`<button class="button danger" type="button" data-testid="admin-lock" aria-disabled=${busy}
                        onClick=${() => this.ask(lockQuestion(whole), this.lock)}>Lock this account…</button>`;
  }
}

const FACTORS = { totp: "authenticator app", passkey: "passkey", recovery_code: "recovery codes" };

/** @param {string} factor */
const factorName = (factor) => FACTORS[factor] ?? factor.replaceAll("_", " ");

function Facts({ user, factors, now }) {
  const named = factors.map(factorName);
  return html`
    <dl class="facts">
      <dt>E-mail</dt><dd>${user.email}${user.emailVerified ? "" : " (not confirmed)"}</dd>
      ${user.username && html`<dt>Username</dt><dd>${user.username}</dd>`}
      <dt>Two-step verification</dt><dd>${named.join(", ") || "Not set up"}</dd>
      <dt>Created</dt><dd>${relativeTime(user.createdAt, now)}</dd>
      ${user.lockedAt && html`<dt>Locked</dt><dd>${relativeTime(user.lockedAt, now)}</dd>`}
      ${user.deletionAt && html`<dt>Deletion</dt><dd>Requested; the data will be deleted on ${user.deletionAt.slice(0, 10)}</dd>`}
    </dl>`;
}

function Roles({ user, roles, busy, onSet }) {
  // The box changes only with the server's answer, so that a refused change never looks done.
  const ask = (event, role) => {
    event.preventDefault();
    onSet(role, !user.roles.includes(role));
  };
  return html`
    <fieldset class="roles">
      <legend>Roles</legend>
      ${roles.map((role) => html`
        <label key=${role} class="check">
          <input type="checkbox" data-testid=${`role-${role}`} checked=${user.roles.includes(role)}
                 aria-disabled=${busy} onClick=${(event) => ask(event, role)} />
          ${role}
        </label>`)}
    </fieldset>`;
}

function Sessions({ sessions, ownSessionId, now, busy, onEnd, onEndAll }) {
  return html`
    <h3>Sessions <span class="count tabular" data-testid="admin-session-count">${sessions.length}</span></h3>
    <ul class="rows">
      ${sessions.map((session) => html`
        <li key=${session.sessionId} class="row" data-testid="admin-session">
          <div class="row-text">
            <p class="row-name">${deviceName(session)}${" "}
              ${session.sessionId === ownSessionId && html`<span class="badge">This session</span>`}</p>
            <p class="device-line">
              ${session.online ? html`<span class="online">Online now</span>` : relativeTime(session.lastSeenAt, now)}
              ${" · "}${[placeName(session), session.ip].filter(Boolean).join(" · ")}</p>
          </div>
          <button class="button small" type="button" data-testid="admin-end" aria-disabled=${busy}
                  aria-label=${`Log out ${deviceName(session)}`} onClick=${() => onEnd(session)}>Log out…</button>
        </li>`)}
    </ul>
    ${sessions.length > 1 && html`
      <button class="button danger" type="button" data-testid="admin-end-all" aria-disabled=${busy}
              onClick=${onEndAll}>Log out everywhere…</button>`}`;
}
