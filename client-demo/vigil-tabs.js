/**
 * Coordination between the tabs of one browser: a lock, so that only one of them refreshes, and a channel that gives
 * the result to the others. No secret is written to storage: the channel keeps messages in memory.
 */
import { VigilError } from "./vigil-errors.js";
import { sleep } from "./vigil-reconnect.js";

/**
 * @typedef {{run<T>(task: () => Promise<T>): Promise<T>}} TabLock
 *
 * @typedef {{type: "token", accessToken: string|null, expiresAt: number, lifetimeMs: number,
 *   sessionId: string|null}} TokenMessage
 * @typedef {{type: "token-wanted"} | {type: "login"} | {type: "logout"} | TokenMessage} TabMessage
 */

/** Longer than a refresh may take: waiting for another tab is better than refreshing without the lock. */
const MAX_WAIT_MS = 30_000;

/**
 * The best lock of this browser. Web Locks need a secure context: over plain HTTP on a host other than loopback, and
 * in browsers from before 2022, the lease in localStorage is used.
 * @param {string} name
 * @returns {TabLock}
 */
export function tabLock(name) {
  if (globalThis.navigator?.locks) return new WebLock(name);
  const storage = usableStorage();
  return storage ? new LeaseLock(name, storage) : new PageLock();
}

/** Web Locks: released by the browser even when the tab crashes. */
export class WebLock {
  #name;

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
  }

  /**
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  async run(task) {
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), MAX_WAIT_MS);
    try {
      return await navigator.locks.request(this.#name, { signal: waiting.signal }, () => {
        clearTimeout(timer);
        return task();
      });
    } catch (error) {
      throw waiting.signal.aborted ? lockTimeout() : error;
    } finally {
      clearTimeout(timer);
    }
  }
}

const LEASE_MS = 8_000;
const SETTLE_MS = 60;
const POLL_MS = 80;

/**
 * A lease in localStorage, for browsers without Web Locks.
 *
 * localStorage has no compare-and-set: a claim is written and read back after a pause, so that of tabs that claim at
 * the same time the last writer wins. The holder renews its lease; that of a crashed tab expires. If two tabs hold it
 * all the same (a tab frozen between the two steps), the server sees two refreshes within its leeway and gives both the
 * same generation.
 */
export class LeaseLock {
  #key;
  #storage;

  /**
   * @param {string} name
   * @param {Storage} storage
   */
  constructor(name, storage) {
    this.#key = `${name}:lease`;
    this.#storage = storage;
  }

  /**
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  async run(task) {
    const holder = randomId();
    await this.#acquire(holder);
    const renewal = setInterval(() => this.#renew(holder), LEASE_MS / 4);
    try {
      return await task();
    } finally {
      clearInterval(renewal);
      if (this.#read()?.holder === holder) this.#storage.removeItem(this.#key);
    }
  }

  /** @param {string} holder */
  async #acquire(holder) {
    const deadline = Date.now() + MAX_WAIT_MS;
    while (Date.now() < deadline) {
      if (!this.#isHeld()) {
        this.#write(holder);
        await sleep(SETTLE_MS);
        if (this.#read()?.holder === holder) return;
      }
      await sleep(POLL_MS * (0.5 + Math.random()));
    }
    throw lockTimeout();
  }

  #isHeld() {
    const lease = this.#read();
    const now = Date.now();
    // A lease that ends later than any new one was written before the clock was set back.
    return lease !== null && lease.until > now && lease.until <= now + LEASE_MS;
  }

  /** @param {string} holder */
  #renew(holder) {
    if (this.#read()?.holder === holder) this.#write(holder);
  }

  /** @param {string} holder */
  #write(holder) {
    this.#storage.setItem(this.#key, JSON.stringify({ holder, until: Date.now() + LEASE_MS }));
  }

  /** @returns {{holder: string, until: number}|null} */
  #read() {
    try {
      const lease = JSON.parse(this.#storage.getItem(this.#key) ?? "null");
      return typeof lease?.holder === "string" && Number.isFinite(lease.until) ? lease : null;
    } catch {
      return null;
    }
  }
}

/** For a tab that shares nothing, or whose storage is blocked: one task at a time within this page. */
export class PageLock {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  run(task) {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/**
 * Messages between the tabs of one browser. Without BroadcastChannel, a storage event announces logins and logouts
 * only: a token never goes through storage.
 */
export class TabChannel {
  #signalKey;
  #storage = usableStorage();
  /** @type {BroadcastChannel|null} */
  #channel = null;
  #onMessage;

  /**
   * @param {string} name
   * @param {(message: TabMessage) => void} onMessage
   */
  constructor(name, onMessage) {
    this.#signalKey = `${name}:signal`;
    this.#onMessage = onMessage;
    if (typeof BroadcastChannel === "function") {
      this.#channel = new BroadcastChannel(name);
      this.#channel.onmessage = ({ data }) => onMessage(data);
    } else {
      globalThis.addEventListener?.("storage", this.#onSignal);
    }
  }

  /** True when a message can carry a token. */
  get carriesTokens() {
    return this.#channel !== null;
  }

  /** @param {TabMessage} message */
  post(message) {
    if (this.#channel) return this.#channel.postMessage(message);
    if (message.type !== "login" && message.type !== "logout") return;
    this.#storage?.setItem(this.#signalKey, JSON.stringify({ type: message.type, id: randomId() }));
  }

  close() {
    this.#channel?.close();
    globalThis.removeEventListener?.("storage", this.#onSignal);
  }

  /** @param {StorageEvent} event */
  #onSignal = ({ key, newValue }) => {
    if (key !== this.#signalKey || newValue === null) return;
    const { type } = JSON.parse(newValue);
    if (type === "login" || type === "logout") this.#onMessage({ type });
  };
}

function lockTimeout() {
  return new VigilError({ code: "timeout", message: "another tab is still refreshing" });
}

function randomId() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

/** Null where storage is blocked: reading the property throws there. */
function usableStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
