"""Vigil's implementation of Engine.IO and Socket.IO, under the classes of python-engineio and python-socketio.

The libraries provide the server's registry, options, handlers and public calls (`emit`, `enter_room`, …). This
package handles the bytes: strict decoding, connections without a task or queue of their own, and WebSocket frames
that are encoded once for all recipients.

    websocket.py   RFC 6455 over a transport taken over from HTTP
    connection.py  one Engine.IO connection: incoming packets, heartbeats, closing
    polling.py     packets queued for a long-polling peer, and its pending poll
    upgrade.py     the probe of a WebSocket for a long-polling connection
    server.py      Engine.IO over HTTP: open, poll, post, upgrade
    packets.py     decoding and encoding of packets
    rooms.py       members of rooms, and sending to them
    emitter.py     sending to sockets by id
    sockets.py     Socket.IO: connect, events, acks, disconnect
    timers.py      many deadlines on one timer of the event loop
    library_private.py    private parts of the libraries that the engine uses
"""
