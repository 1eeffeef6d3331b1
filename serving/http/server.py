"""Runs the endpoint until told to stop."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from forebay.pipelines.errors import Crashed, SettingsError
from forebay.pipelines.process.watchdog import WATCHDOG
from forebay.serving.http.protocol import limited_protocol
from forebay.serving.http.settings import HttpSettings

log = structlog.get_logger("forebay.serve")

SWITCH_INTERVAL_S = 0.0005
"""How long the scoring thread may keep the interpreter's lock while the event loop waits for it. Python's own 5 ms are
longer than a small request takes from end to end."""


class _Server(uvicorn.Server):
    """Ends like the other processes: a signal drains and returns, and is not raised again afterwards.

    Reports to the watchdog that its event loop turns.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._watched = WATCHDOG.watch("event loop")

    async def on_tick(self, counter: int) -> bool:
        self._watched.step("turning")
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        WATCHDOG.forget(self._watched)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)


def run_server(app: ASGIApp, settings: HttpSettings) -> None:
    """Serves until SIGTERM or SIGINT, then answers what is in flight and returns. Main thread only.

    Raises:
        SettingsError: the address can't be listened on.
        Crashed: the application did not start.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=limited_protocol(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.max_connections,
        timeout_graceful_shutdown=settings.drain_s,
    )
    with listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        log.info("serving", address=f"http://{host}:{port}", docs="/docs")
        server = _Server(config)
        server.run([listener])
    if server.lifespan.should_exit:
        raise Crashed("the endpoint did not start; the log has the traceback")
    log.info("stopped")


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening TCP socket.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(f"can't listen on {host}:{port}: {reason}; choose another with --host, --port") from error
