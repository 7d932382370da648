/**
 * Emits from a process without sockets, as `@socket.io/redis-streams-emitter` does: by an entry in the stream that the
 * adapter of every node reads. That package's checks for binary data, which this server does not send, are left out.
 */

// MessageType.BROADCAST of socket.io-adapter, and the sender that is not a node.
const BROADCAST = '3';
const SENDER = 'emitter';
const NAMESPACE = '/';
const EVENT = 2;
// The adapter's own.
const STREAM_LENGTH = 10_000;

export class Emitter {
  #redis;
  #stream;

  constructor(redis, keys) {
    this.#redis = redis;
    this.#stream = keys.adapter;
  }

  /** Emit to a room, on every node. */
  emit(room, event, payload) {
    const packet = { type: EVENT, data: [event, payload], nsp: NAMESPACE };
    const data = JSON.stringify({ packet, opts: { rooms: [room], except: [], flags: {} } });
    return this.#redis.xadd(
      this.#stream, 'MAXLEN', '~', STREAM_LENGTH, '*',
      'uid', SENDER, 'nsp', NAMESPACE, 'type', BROADCAST, 'data', data,
    );
  }
}
