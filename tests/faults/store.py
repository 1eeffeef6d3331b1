"""The store of a site: every write is in its log before it is acknowledged, and former states can come back."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from forebay.local.valkey import Valkey, ValkeySettings
from tests.faults.broken import harness

NO_WRITE_FITS = 1
"""Bytes: less than an empty store takes, so that every command that may need memory is refused."""

CUT = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


class SiteStore:
    """A Valkey that keeps what it acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "store"
        self._snapshots = folder / "snapshots"
        self._server = Valkey(ValkeySettings(appendonly=True, data_folder=self._data))
        self.remembered = 0
        """Former states."""

    @property
    def address(self) -> str:
        """host:port, the same for its whole life."""
        return self._server.address

    def start(self) -> None:
        """Returns when it answers."""
        with harness("starting the store"):
            self._server.start()

    def stop(self) -> None:
        """Ends it for good."""
        self._server.stop()

    def remember(self) -> None:
        """Keeps what it holds now, for a later rollback: a prefix of its log of writes."""
        shutil.copytree(self._data, self._snapshots / str(self.remembered))
        self.remembered += 1

    def restart(self, down_s: float, back: int = 0) -> None:
        """Kills it and starts it again.

        Args:
            back: with the state remembered so many times ago; 0: with all that it acknowledged.
        """
        self._server.kill()
        if back:
            shutil.rmtree(self._data)
            shutil.copytree(self._snapshots / str(self.remembered - back), self._data)
        time.sleep(down_s)
        self.start()

    @contextmanager
    def full(self) -> Iterator[None]:
        """It refuses writes meanwhile."""
        with self.client() as client:
            client.config_set("maxmemory", NO_WRITE_FITS)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It answers nothing meanwhile."""
        os.killpg(self._server.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._server.process.pid, signal.SIGCONT)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """The same; then it does what was sent to it, but cuts all connections before it answers."""
        with self.client() as client:
            connection = client.connection_pool.get_connection()
            with self.standing_still():
                yield
                connection.send_command(*CUT)
            connection.read_response()
            client.connection_pool.release(connection)

    def cut(self) -> None:
        """Closes every connection, whatever is under way on it."""
        with self.client() as client:
            client.execute_command(*CUT)

    def contents(self) -> dict[bytes, Any]:
        """All it holds: hashes by key."""
        with self.client() as client:
            return {key: client.hgetall(key) for key in client.scan_iter()}

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A connection of the harness."""
        client = redis.Redis("127.0.0.1", self._server.port)
        try:
            with harness("asking the store"):
                yield client
        finally:
            client.close()
