"""Finds free TCP ports of the loopback interface."""

from __future__ import annotations

import random
import socket

from forebay.pipelines.errors import SettingsError

# Below every system's range for outgoing connections. A port from that range can be taken by a client that
# knocks on it while its server restarts: the connection then reaches itself, and the server can't come back.
_FIRST, _LAST = 20_000, 32_000

LAST_PORT = 65_535

_handed_out: set[int] = set()


def is_free(port: int) -> bool:
    """Returns whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # Servers set this too: connections that are still closing do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Returns a port on which no server listens, never the same one twice in this process.

    Raises:
        SettingsError: every port that was tried is taken.
    """
    for _ in range(1000):
        port = random.randrange(_FIRST, _LAST)
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise SettingsError(f"no free port between {_FIRST} and {_LAST} on 127.0.0.1: stop some servers")


def claim_port(port: int, server: str) -> int:
    """Returns `port` if `server` can listen on it, or a free port for 0.

    Raises:
        SettingsError: there is no such port, or another process listens on it.
    """
    if not 0 <= port <= LAST_PORT:
        raise SettingsError(f"{server}: there is no port {port}: choose one from 1 to {LAST_PORT}, or 0 for a free one")
    if port == 0:
        return free_port()
    if not is_free(port):
        raise SettingsError(
            f"{server}: port {port} on 127.0.0.1 is in use: stop the process that listens on it, or choose another port"
        )
    return port
