// A chat: what client-demo/chat.py does, as a backend of its own. Vigil posts the events of clients to POST /vigil.
// The members and the latest messages are in memory, which is enough for one process of an example.
import { randomBytes } from "node:crypto";
import express from "express";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const ROOM = "chat:lobby";
const MAX_TEXT = 2000;
const RECENT = 50;
const MOST_GONE = 1000;

const vigil = process.env.VIGIL_URL ?? "http://127.0.0.1:8000";
const serverKey = required("VIGIL_SERVER_KEY");
const webhook = new Webhook(required("VIGIL_APPLICATION_URL_SECRET"));

const members = new Map(); // by socketId: {userId, name}
const gone = new Map(); // the latest that have disconnected
const watched = new Map(); // by socketId: whom it watches
const recent = [];

const handlers = {
  "chat:join": async ({ socketId, userId }) => {
    members.set(socketId, { userId, name: await nameOf(userId) });
    return {
      room: ROOM,
      members: present(),
      recent,
      maxTextLength: MAX_TEXT,
      join: [ROOM],
      emit: [membersNow()],
    };
  },

  // A client asks when the members have changed: it sees the presence of each.
  "chat:watch": async ({ socketId }) => {
    const before = watched.get(socketId) ?? new Set();
    const now = new Set(present().map(({ userId }) => userId));
    watched.set(socketId, now);
    return { unwatch: [...before].filter((each) => !now.has(each)), watch: [...now].filter((each) => !before.has(each)) };
  },

  "chat:send": async ({ socketId, data }) => {
    const { text } = data;
    if (typeof text !== "string" || !text.trim() || text.length > MAX_TEXT) {
      throw new Refused("invalid_request", `Write 1 to ${MAX_TEXT} characters.`);
    }
    const member = members.get(socketId);
    if (!member) throw new Refused("invalid_request", "Join the room first.");
    const message = { messageId: randomBytes(12).toString("hex"), ...member, text, at: new Date().toISOString() };
    recent.push(message);
    if (recent.length > RECENT) recent.shift();
    return { messageId: message.messageId, emit: [toRoom("chat:message", message)] };
  },

  // Posted at least once, also when a node died; a second time it changes nothing.
  disconnect: async ({ socketId }) => {
    watched.delete(socketId);
    if (!move(socketId, members, gone)) return {};
    if (gone.size > MOST_GONE) gone.delete(gone.keys().next().value);
    return { emit: [membersNow()] };
  },

  // Of a node that was taken for dead, posted again: its sockets are still in the room.
  connect: async ({ socketId }) => (move(socketId, gone, members) ? { emit: [membersNow()] } : {}),
};

function move(key, from, to) {
  if (!from.has(key)) return false;
  to.set(key, from.get(key));
  return from.delete(key);
}

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const app = express();

// The signature covers the exact bytes, so the body is read as it is.
app.post("/vigil", express.raw({ type: "application/json", limit: "256kb" }), async (request, response) => {
  let event;
  try {
    event = webhook.verify(request.body ?? "", request.headers);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return response.sendStatus(401);
  }
  try {
    const handler = handlers[event.event];
    if (!handler && event.event.includes(":")) throw new Refused("unknown_event", "There is no such event.");
    return response.json(handler ? await handler(event) : {});
  } catch (error) {
    if (!(error instanceof Refused)) throw error; // express answers 500
    return response.status(400).json({ code: error.code, message: error.message });
  }
});

async function nameOf(userId) {
  const answer = await fetch(`${vigil}/api/server/users/${userId}`, {
    headers: { Authorization: `Bearer ${serverKey}` },
  });
  if (!answer.ok) throw new Error(`Vigil answered ${answer.status}`);
  const { user } = (await answer.json()).data;
  return user.name ?? user.username ?? "Guest"; // never the address: strangers read it
}

function present() {
  return [...new Map([...members.values()].map((member) => [member.userId, member])).values()];
}

function membersNow() {
  return toRoom("chat:members", { members: present() });
}

function toRoom(event, data) {
  return { to: { room: ROOM }, event, data };
}

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: see README.md`);
  return value;
}

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
