/**
 * Clients that return after their node was killed. Standard input: a line with `{kind, url, tokens}`, then `report`.
 * Standard output: `live` once all are connected; then the times of all attempts since, in ms of the epoch, and how
 * many clients are live.
 *
 * `vigil`: the connection of Vigil's browser module. `socket.io`: socket.io-client with its own reconnection.
 */
import { createInterface } from "node:readline";

import { io } from "../../client-demo/vendor/socket.io.esm.min.js";
import { Connection } from "../../client-demo/vigil-connection.js";

const AT_ONCE = 25;
const attempts = [];
const clients = [];

/** A client of the kind; resolves once it is live. */
const KINDS = {
  vigil: (url, accessToken) =>
    new Promise((resolve) => {
      const socket = io(url, { transports: ["websocket"], autoConnect: false, forceNew: true, reconnection: false });
      const token = { accessToken, lifetimeMs: 3_600_000 };
      const tokens = { current: token, usable: async () => token, remainingMs: () => token.lifetimeMs };
      const listener = {
        onStatus: ({ state }) => {
          if (state === "connecting") attempts.push(Date.now());
          if (state === "live") resolve({ isLive: () => connection.isLive });
        },
        onEvent: () => {},
        onEnd: ({ code }) => process.stderr.write(`ended: ${code}\n`),
      };
      const connection = new Connection({ socket, tokens, api: { observeClock: () => {} }, listener });
      connection.start();
    }),
  "socket.io": (url, token) =>
    new Promise((resolve) => {
      const socket = io(url, { transports: ["websocket"], forceNew: true, auth: { token } });
      let isLive = false;
      socket.io.on("reconnect_attempt", () => attempts.push(Date.now()));
      socket.on("disconnect", () => (isLive = false));
      socket.on("ready", () => {
        isLive = true;
        resolve({ isLive: () => isLive });
      });
    }),
};

async function begin({ kind, url, tokens }) {
  while (tokens.length) {
    const part = tokens.splice(0, AT_ONCE);
    clients.push(...(await Promise.all(part.map((token) => KINDS[kind](url, token)))));
  }
  attempts.length = 0;
  process.stdout.write("live\n");
}

for await (const line of createInterface(process.stdin)) {
  if (line === "report") {
    const live = clients.filter((client) => client.isLive()).length;
    process.stdout.write(`${JSON.stringify({ attempts, live })}\n`);
  } else {
    await begin(JSON.parse(line));
  }
}
process.exit(0);
