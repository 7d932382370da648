/** One user for administrators: roles, account lock, second factors, sessions and audit log. */
import { asVigilError } from "../vigil-errors.js";
import { AdminAuditLog } from "./admin-audit-log.js";
import { deviceName, placeName } from "./device-names.js";
import { errorSentence } from "./error-messages.js";
import { relativeTime } from "./format.js";
import { Form } from "./forms.js";
import { Component, createRef, html } from "./html.js";
import { deliverySentence } from "./logout-messages.js";

const REASON = {
  name: "reason", label: "Reason", type: "text", optional: true, autocomplete: "off",
  hint: "For the audit log. The user does not see it.",
};

/** Properties: `client`, `userId`, `ownUserId`, `isAdmin`, `roles` that can be granted, `onBack()`. */
export class AdminUser extends Component {
  state = { whole: null, result: { text: "", failed: false }, busy: false, locking: false, removing: false, trail: false };
  #heading = createRef();

  componentDidMount() {
    this.read().then(() => this.#heading.current?.focus(), (error) => this.#fail(error));
  }

  #path(rest = "") {
    return `/admin/users/${encodeURIComponent(this.props.userId)}${rest}`;
  }

  #fail(error) {
    this.setState({ result: { text: errorSentence(asVigilError(error)), failed: true } });
  }

  async read() {
    this.setState({ whole: await this.props.client.call("GET", this.#path()) });
  }

  /**
   * Applies the changes in the action's answer: reloading would add an event to the audit log.
   * @param {() => Promise<{text: string, user?: object, sessions?: object[]}>} act resolves
   *   with the result to show and the changed data
   */
  async run(act) {
    if (this.state.busy) return;
    this.setState({ busy: true, result: { text: "", failed: false } });
    try {
      const { text, ...changed } = await act();
      this.setState(({ whole }) => ({ whole: { ...whole, ...changed }, result: { text, failed: false } }));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.setState({ busy: false });
    }
  }

  setRole = (role, has) => this.run(async () => {
    const others = this.state.whole.user.roles.filter((each) => each !== role);
    const roles = has ? [...others, role] : others;
    const { user } = await this.props.client.call("PUT", this.#path("/roles"), { roles });
    return { user, text: `${has ? "Now" : "No longer"} ${role}, effective on all devices.` };
  });

  lock = async ({ reason }) => {
    const text = reason.trim();
    const body = text ? { reason: text } : {};
    const { user, delivery, revoked } = await this.props.client.call("POST", this.#path("/lock"), body);
    this.setState({ locking: false });
    const ended = revoked ? deliverySentence(delivery, revoked) : "No device was logged in.";
    await this.run(async () => ({ user, sessions: [], text: `Locked. ${ended}` }));
    this.#heading.current?.focus();
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
    this.setState({ removing: false });
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

  render({ client, userId, ownUserId, isAdmin, roles, onBack }, { whole, result, busy, locking, removing, trail }) {
    return html`
      <div class="admin-user" data-testid="admin-person">
        <button class="link" type="button" data-testid="admin-back" onClick=${onBack}>Back to all users</button>
        <p class=${`result ${result.failed ? "is-error" : ""}`} role="status" data-testid="admin-result">${result.text}</p>
        ${whole && html`
          <h2 tabindex="-1" ref=${this.#heading} class="breakable">${whole.user.name || whole.user.email}</h2>
          <${Facts} ...${whole} now=${client.serverNow()} />
          ${isAdmin && roles.length > 0 && html`
            <${Roles} user=${whole.user} roles=${roles} busy=${busy} onSet=${this.setRole} />`}
          ${isAdmin && whole.user.userId !== ownUserId && this.lockPart(whole.user, locking, busy)}
          ${isAdmin && whole.factors.length > 0 && this.factorsPart(removing, busy)}
          <${Sessions} sessions=${whole.sessions} ownSessionId=${client.sessionId} now=${client.serverNow()}
                       busy=${busy} onEnd=${this.endOne} onEndAll=${this.endAll} />
          ${isAdmin && (trail ? html`<h3>Audit log</h3><${AdminAuditLog} client=${client} userId=${userId} />` : html`
            <button class="button" type="button" data-testid="admin-trail"
                    onClick=${() => this.setState({ trail: true })}>Audit log of this account</button>`)}`}
      </div>`;
  }

  factorsPart(removing, busy) {
    if (!removing) {
      return html`<button class="button" type="button" data-testid="admin-remove-factors" aria-disabled=${busy}
                          onClick=${() => this.setState({ removing: true })}>Remove two-step verification…</button>`;
    }
    return html`
      <p class="muted">For a user who has lost them: verify the user's identity first.
        All their devices are logged out, and they are notified by mail.</p>
      <div class="actions">
        <button class="button danger" type="button" data-testid="admin-remove-factors-confirm" aria-disabled=${busy}
                onClick=${this.removeFactors}>Remove, and log out all devices</button>
        <button class="button" type="button" onClick=${() => this.setState({ removing: false })}>Cancel</button>
      </div>`;
  }

  lockPart({ lockedAt }, locking, busy) {
    if (lockedAt) {
      return html`<button class="button" type="button" data-testid="admin-unlock" aria-disabled=${busy}
                          onClick=${this.unlock}>Unlock this account</button>`;
    }
    if (locking) {
      return html`<${Form} testid="lock-form" fields=${[REASON]} submitLabel="Lock, and log out all devices"
                           busyLabel="Locking…" focusFirst onSubmit=${this.lock}
                           onCancel=${() => this.setState({ locking: false }, () => this.#heading.current?.focus())} />`;
    }
    return html`<button class="button danger" type="button" data-testid="admin-lock" aria-disabled=${busy}
                        onClick=${() => this.setState({ locking: true })}>Lock this account…</button>`;
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
                  aria-label=${`End the session on ${deviceName(session)}`}
                  onClick=${() => onEnd(session.sessionId)}>End</button>
        </li>`)}
    </ul>
    ${sessions.length > 1 && html`
      <button class="button danger" type="button" data-testid="admin-end-all" aria-disabled=${busy}
              onClick=${onEndAll}>End all sessions</button>`}`;
}
