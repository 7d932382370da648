/**
 * MongoDB: users, sessions, audit events. Each function is one atomic act on the server; none reads, decides and
 * then writes. Writes wait for a majority.
 */

import { MongoClient } from 'mongodb';

import { batched } from './batch.js';

const DAY_MS = 86_400_000;
const REVOKED_KEPT_MS = 90 * DAY_MS;
// Sessions to compare a new device with: those of the latest logins.
const SIGHTINGS = { projection: { device: 1 }, sort: { loggedInAt: -1 }, limit: 200 };
// More than a person can have; a longer list is cut.
const MAX_LISTED = 200;

const USER_VIEW = { email: 1, emailVerifiedAt: 1, name: 1, username: 1, roles: 1, createdAt: 1 };
const SESSION_VIEW = {
  device: 1, userAgent: 1, ip: 1, location: 1, loggedInAt: 1, lastSeenAt: 1, expiresAt: 1, amr: 1,
};
const ENDED_VIEW = { ...SESSION_VIEW, userId: 1, generation: 1, revokedAt: 1, revokedReason: 1, revokedBy: 1 };
const TOKEN_FIELDS = { userId: 1, generation: 1, roles: 1, amr: 1, loggedInAt: 1, expiresAt: 1 };

export async function connectStores({ mongoUrl, database }) {
  const client = new MongoClient(mongoUrl, {
    writeConcern: { w: 'majority' },
    maxPoolSize: 64,
    connectTimeoutMS: 2000,
    serverSelectionTimeoutMS: 2000,
    waitQueueTimeoutMS: 2000,
    // Binary values arrive as Buffers, without a wrapper each.
    promoteBuffers: true,
    appName: 'bench-peer-node',
  });
  await client.connect();
  const db = client.db(database);
  return {
    users: users(db.collection('users')),
    sessions: sessions(db.collection('sessions')),
    audit: audit(db.collection('audit_events')),
    serverKeys: serverKeys(db.collection('server_keys')),
    ensureIndexes: () => ensureIndexes(db),
    close: () => client.close(),
  };
}

function users(collection) {
  const withHash = { projection: { ...USER_VIEW, passwordHash: 1 } };
  const view = { projection: USER_VIEW };
  return {
    byEmail: (key) => collection.findOne({ emailKey: key }, withHash),
    byId: (id) => collection.findOne({ _id: id }, view),
    createMany: (documents) => collection.insertMany(documents, { ordered: false }),
  };
}

function sessions(collection) {
  const rotated = { returnDocument: 'after', projection: TOKEN_FIELDS };
  const listed = { projection: SESSION_VIEW, sort: { lastSeenAt: -1 }, limit: MAX_LISTED };
  return {
    /** `untold`: the mark that its event is not published yet. */
    create: (document) => collection.insertOne({ ...document, untold: 'created', untoldSince: document.loggedInAt }),
    createMany: (documents) => collection.insertMany(documents, { ordered: false }),
    byId: (id) => collection.findOne({ _id: id }),
    byIds: (ids) => collection.find({ _id: { $in: ids } }, { projection: TOKEN_FIELDS }).toArray(),
    ofUser: (userId, now) =>
      collection.find({ userId, revokedAt: null, expiresAt: { $gt: now } }, listed).toArray(),

    /** Move a live session to the next generation: of any number of callers with one generation one succeeds. */
    rotate: ({ sessionId, nonceHash, generation, ip, now, idleMs }) =>
      collection.findOneAndUpdate(
        { _id: sessionId, generation, nonceHash, revokedAt: null, expiresAt: { $gt: now } },
        [
          {
            $set: {
              generation: generation + 1,
              confirmed: false,
              rotatedAt: now,
              lastSeenAt: now,
              ip: { $literal: ip },
              expiresAt: { $min: [new Date(now.getTime() + idleMs), '$endsAt'] },
            },
          },
          { $set: { purgeAt: { $add: ['$expiresAt', 3_600_000] } } },
        ],
        rotated,
      ),

    /** Note that the token pair of `generation` is in use; a no-op once a later one exists. */
    confirm: batched((pairs) =>
      collection.updateMany(
        {
          $or: pairs.map(({ sessionId, generation }) => ({
            _id: sessionId, generation, confirmed: false, revokedAt: null,
          })),
        },
        { $set: { confirmed: true, lastSeenAt: new Date() } },
      ),
    ),

    /** Note that the session's device was seen. */
    touch: batched((sessionIds) =>
      collection.updateMany({ _id: { $in: sessionIds }, revokedAt: null }, { $max: { lastSeenAt: new Date() } }),
    ),

    /** The devices of the user's other logins. */
    sightings: ({ _id, userId }) => collection.find({ userId, _id: { $ne: _id } }, SIGHTINGS).toArray(),

    /** Remove the marks of sessions whose event `kind` has been published. */
    told: (sessionIds, kind) =>
      collection.updateMany(
        { _id: { $in: sessionIds }, untold: kind },
        { $unset: { untold: 1, untoldSince: 1 } },
      ),

    /** A session with a mark from before `before`, which no other node takes for as long. */
    claimUntold: (before, now) =>
      collection.findOneAndUpdate({ untoldSince: { $lt: before } }, { $set: { untoldSince: now } }),

    /** End a live session of the user, once; null when there was none to end. */
    revoke: ({ sessionId, userId, reason, by, ip, now }) =>
      collection.findOneAndUpdate(
        { _id: sessionId, userId, revokedAt: null, expiresAt: { $gt: now } },
        {
          $set: {
            revokedAt: now,
            revokedReason: reason,
            revokedBy: by,
            revokedIp: ip,
            purgeAt: new Date(now.getTime() + REVOKED_KEPT_MS),
            untold: 'ended',
            untoldSince: now,
          },
        },
        { returnDocument: 'after', projection: ENDED_VIEW },
      ),

    revokeAll: async (userId, { reason, by, ip, now, revocationId }) => {
      await collection.updateMany(
        { userId, revokedAt: null, expiresAt: { $gt: now } },
        {
          $set: {
            revokedAt: now, revokedReason: reason, revokedBy: by, revokedIp: ip, revocationId,
            untold: 'ended', untoldSince: now,
          },
        },
      );
      return collection.find({ userId, revocationId }, { projection: ENDED_VIEW }).toArray();
    },
  };
}

function audit(collection) {
  const insert = batched((events) => collection.insertMany(events, { ordered: false }));
  return {
    record: (kind, { userId, sessionId = null, client, details = {}, now }) =>
      insert({
        kind,
        at: now,
        userId,
        sessionId,
        ip: client.ip,
        userAgent: client.userAgent,
        details,
        removeAt: new Date(now.getTime() + 90 * DAY_MS),
      }),
  };
}

function serverKeys(collection) {
  return {
    add: (document) => collection.insertOne(document),
    byId: (id) => collection.findOne({ _id: id }),
  };
}

async function ensureIndexes(db) {
  await Promise.all([
    db.collection('users').createIndex({ emailKey: 1 }, { unique: true }),
    db.collection('sessions').createIndex({ userId: 1, revokedAt: 1, lastSeenAt: -1 }),
    db.collection('sessions').createIndex({ userId: 1, loggedInAt: -1 }),
    db.collection('sessions').createIndex({ purgeAt: 1 }, { expireAfterSeconds: 0 }),
    db.collection('sessions').createIndex(
      { untoldSince: 1 },
      { partialFilterExpression: { untoldSince: { $exists: true } } },
    ),
    db.collection('audit_events').createIndex({ userId: 1, at: -1 }),
    db.collection('audit_events').createIndex({ removeAt: 1 }, { expireAfterSeconds: 0 }),
  ]);
}
