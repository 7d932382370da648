/** Many small writes as few commands. */

const AT_ONCE = 4;

/**
 * A function that adds an item to the next call of `run`; resolves once that has written it. Items of one turn of
 * the event loop go together, and so do those that come while `atOnce` calls are running.
 */
export function batched(run, { atOnce = AT_ONCE } = {}) {
  let waiting = [];
  let running = 0;

  async function work() {
    const batch = waiting;
    waiting = [];
    try {
      // Empty if another call that was begun in the same turn took them.
      if (batch.length > 0) await run(batch.map(({ item }) => item));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    running -= 1;
    begin();
  }

  function begin() {
    if (waiting.length === 0 || running >= atOnce) return;
    running += 1;
    setImmediate(work);
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (waiting.length === 1) begin();
    });
}

/** A function that hands items to `run` at the latest after `ms`, all of that time together. */
export function collected(run, ms) {
  let waiting = [];
  return (item) => {
    waiting.push(item);
    if (waiting.length > 1) return;
    setTimeout(() => {
      const items = waiting;
      waiting = [];
      run(items);
    }, ms);
  };
}
