// The revoked sessions, followed on a stream: first all whose tokens may be valid, then new ones as they come.

import { chunksOf } from "./http.js";

// Vigil sends something every 2 s.
const SILENT_MS = 6000;
const RETRY_MS = [100, 5000];
const MAX_EVENT = 64 * 1024;
const EVENTS = ["revoked", "caught-up", "alive"];
const PRUNE_EVERY = 10_000;
// Tokens are accepted for some seconds after their end (leeway).
const KEPT_MS = 60_000;

/** Follows one of `urls`, the next one after each failure. */
export class Revocations {
  #urls;
  #serverKey;
  #changed;
  #warn;
  #until = new Map();
  #nextPrune = PRUNE_EVERY;
  #cursor = null;
  #hasCaughtUp = false;
  #closing = new AbortController();

  constructor(urls, serverKey, { changed, warn }) {
    this.#urls = urls;
    this.#serverKey = serverKey;
    this.#changed = changed;
    this.#warn = warn;
    /** When the stream last proved that nothing is missing. */
    this.provedAt = -Infinity;
    this.lastError = null;
    this.caughtUp = new Promise((resolve) => {
      this.markCaughtUp = resolve;
    });
    this.isCaughtUp = false;
  }

  has(sessionId) {
    return this.#until.has(sessionId);
  }

  get size() {
    return this.#until.size;
  }

  close() {
    this.#closing.abort();
  }

  async run() {
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      const before = this.provedAt;
      try {
        await this.#follow(this.#urls[failures % this.#urls.length]);
        this.lastError = "the stream ended";
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.lastError = error.cause?.message ?? error.message;
        this.#warn(`Vigil's stream of revocations failed: ${this.lastError}`);
      }
      failures = this.provedAt === before ? failures + 1 : 1;
      this.#changed();
      // Services that lost one node must not come back to the others in one moment.
      const wait = Math.min(RETRY_MS[1], RETRY_MS[0] * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
      await sleep(wait, this.#closing.signal);
    }
  }

  async #follow(url) {
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${this.#serverKey}` };
    if (this.#cursor !== null) headers["Last-Event-ID"] = this.#cursor;
    this.#hasCaughtUp = false;
    const silent = new AbortController();
    const stop = () => silent.abort();
    this.#closing.signal.addEventListener("abort", stop);
    let timer = setTimeout(() => silent.abort(new Error("the stream is silent")), SILENT_MS);
    timer.unref();
    try {
      const response = await fetch(`${url}/api/server/revocations`, {
        headers,
        redirect: "error", // a server key must not follow a redirect to somebody else
        signal: silent.signal,
      });
      if (response.status !== 200) throw new Error(`Vigil answered ${response.status}`);
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of chunksOf(response, silent.signal)) {
        const events = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
        rest = events.pop();
        if (rest.length > MAX_EVENT) throw new Error("an event of the stream is too long");
        // A proxy can keep a stream open whose node has gone: only Vigil's events are signs of life.
        for (const event of events) if (this.#take(event)) timer.refresh();
      }
    } finally {
      clearTimeout(timer);
      timer = null;
      this.#closing.signal.removeEventListener("abort", stop);
    }
  }

  /** Whether it is an event of Vigil. Throws for one that cannot be read. */
  #take(text) {
    const fields = {};
    for (const line of text.split("\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
    }
    if (!EVENTS.includes(fields.event)) return false;
    if (fields.event === "revoked") {
      const { sessionId, until } = JSON.parse(fields.data);
      const end = Date.parse(until);
      if (typeof sessionId !== "string" || Number.isNaN(end)) throw new Error("an event cannot be read");
      this.#until.set(sessionId, end + KEPT_MS);
      if (this.#until.size > this.#nextPrune) this.#prune();
    } else if (fields.event === "caught-up") {
      this.#hasCaughtUp = true;
    }
    // Only now: an event that could not be read is asked for again.
    if (fields.id) this.#cursor = fields.id;
    if (this.#hasCaughtUp) {
      this.provedAt = performance.now();
      this.lastError = null;
      this.isCaughtUp = true;
      this.markCaughtUp();
      this.#changed();
    }
    return true;
  }

  #prune() {
    const now = Date.now();
    for (const [sessionId, until] of this.#until) if (until <= now) this.#until.delete(sessionId);
    this.#nextPrune = 2 * this.#until.size + PRUNE_EVERY;
  }
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    timer.unref();
    signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
  });
}
