/**
 * When sockets are warned of their token's end, when that comes, and when its grace is over.
 *
 * One interval serves every socket: those due within the same tenth of a second stand in one set. A timer per
 * socket would be a Timeout, a closure and, its duration being jittered, a list of its own in Node for each.
 */

const TICK_MS = 100;
// The warning comes at most this share of the token's life ahead, and up to a quarter of the lead later: tokens
// that end in the same second must not all be refreshed in one.
const LEAD_SHARE = 0.2;
const JITTER_SHARE = 0.25;

const next = { warn: 'expire', expire: 'end', end: null };

export class ExpiryWheel {
  #leadMs;
  #graceMs;
  #act;
  #ticks = new Map();
  #done = Math.floor(Date.now() / TICK_MS);
  #timer;

  /** `act`: what is done at each stage: `{warn(socket), expire(socket), end(socket)}`. */
  constructor({ leadMs, graceMs, act }) {
    this.#leadMs = leadMs;
    this.#graceMs = graceMs;
    this.#act = act;
  }

  start() {
    this.#timer = setInterval(() => this.#turn(), TICK_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** Begin anew with the token that `socket.data` holds. */
  watch(socket) {
    const { issuedAt, expiresAt } = socket.data;
    const lead = Math.min(this.#leadMs, (expiresAt - issuedAt) * LEAD_SHARE);
    this.#put(socket, 'warn', expiresAt - lead * (1 - JITTER_SHARE * Math.random()));
  }

  forget(socket) {
    const { tick } = socket.data;
    if (tick === 0) return;
    const due = this.#ticks.get(tick);
    if (due?.delete(socket) && due.size === 0) this.#ticks.delete(tick);
    socket.data.tick = 0;
  }

  #put(socket, stage, at) {
    this.forget(socket);
    const tick = Math.max(Math.ceil(at / TICK_MS), this.#done + 1);
    let due = this.#ticks.get(tick);
    if (!due) this.#ticks.set(tick, (due = new Set()));
    due.add(socket);
    socket.data.tick = tick;
    socket.data.stage = stage;
  }

  #turn() {
    const now = Math.floor(Date.now() / TICK_MS);
    while (this.#done < now) {
      const due = this.#ticks.get(++this.#done);
      if (!due) continue;
      this.#ticks.delete(this.#done);
      for (const socket of due) this.#reach(socket);
    }
  }

  #reach(socket) {
    const { stage, expiresAt } = socket.data;
    socket.data.tick = 0;
    const following = next[stage];
    if (following) this.#put(socket, following, following === 'expire' ? expiresAt : expiresAt + this.#graceMs);
    this.#act[stage](socket);
  }
}
