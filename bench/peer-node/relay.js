/**
 * Tells what a node has written to MongoDB and could not tell: it died in between, or Redis was down. A session
 * carries a mark from the write that changed it until Redis has the event.
 */

const ROUND_MS = 1000;
// A younger one may still be on its way.
const SETTLED_MS = 2000;

export class Relay {
  #store;
  #sessions;
  #timer;

  constructor(store, sessions) {
    this.#store = store;
    this.#sessions = sessions;
  }

  start() {
    this.#timer = setInterval(() => this.#round().catch(() => {}), ROUND_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #round() {
    for (;;) {
      const now = Date.now();
      const session = await this.#store.claimUntold(new Date(now - SETTLED_MS), new Date(now));
      if (!session) return;
      await this.#sessions.tellAgain(session);
    }
  }
}
