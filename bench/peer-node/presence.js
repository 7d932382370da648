/**
 * This node's lease and its part in clearing up after dead ones. A socket is online while it is listed and its
 * node's lease lives. Going offline is announced two seconds late: a page that is reloaded does not flicker.
 */

const LEASE_MS = 10_000;
const RENEW_MS = 3_000;
const RETURN_MS = 2_000;
const SWEEP_BATCH = 200;

export class Presence {
  #redis;
  #keys;
  #log;
  #nodeId;
  #onOffline;
  #timer;
  #stopped = false;

  /** `onOffline({userId, sessionId, eventId, others})` is called for each device that went offline. */
  constructor(redis, keys, userLog, { nodeId, onOffline }) {
    this.#redis = redis;
    this.#keys = keys;
    this.#log = userLog;
    this.#nodeId = nodeId;
    this.#onOffline = onOffline;
  }

  async start() {
    await this.#renew();
    this.#timer = setInterval(() => this.#renew().catch(() => {}), RENEW_MS);
  }

  /** Shorten the lease to the time a client has to return; another node clears up after it. */
  async stop() {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#redis.renewScript(this.#keys.nodes, this.#nodeId, RETURN_MS);
  }

  /** A socket is gone. All of these timers have one duration, which Node keeps in one list. */
  leaveSoon(entry) {
    if (!this.#stopped) setTimeout(this.#leaveNow, RETURN_MS, entry);
  }

  #leaveNow = async (entry) => {
    try {
      await this.#leave(this.#nodeId, entry);
    } catch {
      if (!this.#stopped) setTimeout(this.#leaveNow, RENEW_MS, entry);
    }
  };

  async #leave(nodeId, entry) {
    const gone = await this.#log.leave(nodeId, entry);
    if (gone) this.#onOffline(gone);
  }

  async #renew() {
    const dead = await this.#redis.renewScript(this.#keys.nodes, this.#nodeId, LEASE_MS);
    for (const nodeId of dead) {
      const entries = await this.#redis.smembers(this.#keys.nodeSockets(nodeId));
      for (let start = 0; start < entries.length; start += SWEEP_BATCH) {
        const batch = entries.slice(start, start + SWEEP_BATCH);
        await Promise.all(batch.map((entry) => this.#leave(nodeId, entry)));
      }
      await this.#redis.zrem(this.#keys.nodes, nodeId);
    }
  }
}
