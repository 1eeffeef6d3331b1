"""An application on a real port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from forebay.local.ports import free_port


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """host:port of the application, while the context lasts."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=free_port(), loop="asyncio", log_config=None, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join()
