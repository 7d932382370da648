"""Engine.IO and Socket.IO under Vigil, over python-engineio's and python-socketio's own classes.

The libraries keep their part: the server's registry and options, its public calls (`emit`, `enter_room`, …), its
handlers. Ours is what happens to bytes: strict decoding, one way in and one way out for each connection without a
task or a queue of its own, and WebSocket frames that are written once for all who get them.

    websocket.py   RFC 6455 over a transport that HTTP has let go of
    connection.py  one Engine.IO connection: what comes in, heartbeats, the end
    polling.py     what waits for a peer that polls, and the poll that waits for it
    upgrade.py     a WebSocket on trial for a connection that polls
    server.py      Engine.IO over HTTP: open, poll, post, upgrade
    packets.py     what the wire may say
    rooms.py       who is in which room, and what is sent to them
    sockets.py     Socket.IO: connect, events, acks, disconnect
    timers.py      many deadlines on one timer of the event loop

Written for the versions in `WRITTEN_FOR`; a test names what to look at when they change.
"""

# Distribution -> the version whose private parts were read: see tests/unit/test_engine_versions.py.
WRITTEN_FOR = {"aiohttp": "3.14", "python-engineio": "4.15.1", "python-socketio": "5.18.1"}
