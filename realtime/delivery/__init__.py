"""From facts to sockets: publishes events, pushes frames, and checks what could not be heard."""
