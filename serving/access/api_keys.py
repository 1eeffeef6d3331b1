"""Identifies who brings an API key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from forebay.pipelines.errors import SettingsError
from forebay.serving.access.errors import SEND, Unauthenticated
from forebay.serving.access.key_file import ApiKey, id_of, read_keys
from forebay.serving.access.principal import Principal

log = structlog.get_logger("forebay.serve")

LOOK_S = 1.0
"""How old an answer of the file system may be: a key that was removed is refused after this time."""


class ApiKeys:
    """The keys of a file, read again when it is replaced."""

    def __init__(self, path: Path, monotonic_s: Callable[[], float], now: Callable[[], datetime]) -> None:
        """Raises `SettingsError`: the file can't be used."""
        self._path = path
        self._monotonic_s = monotonic_s
        self._now = now
        self._stamp = self._stat()
        self._keys = self._read()
        self._looked_s = monotonic_s()

    def identify(self, credential: str) -> Principal:
        """Finds who brings this key.

        Raises:
            Unauthenticated: nobody, or it has expired.
        """
        self._look()
        key = self._keys.get(id_of(credential))
        if key is None or not key.is_for(credential):
            raise Unauthenticated(f"this API key is not known: {SEND}")
        if key.expires is not None and key.expires <= self._now():
            raise Unauthenticated(f"API key {key.id} expired on {key.expires.astimezone(UTC):%Y-%m-%d}: {SEND}")
        return Principal(f"key:{key.name}", frozenset(key.scopes))

    def _look(self) -> None:
        """Reads the file where it changed. One that can't be used changes nothing: nobody must lose access by it."""
        if self._monotonic_s() < self._looked_s + LOOK_S:
            return
        self._looked_s = self._monotonic_s()
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = self._read()
        except SettingsError as error:
            log.error("API keys stay as they were", error=str(error))
            return
        log.info("API keys read", file=str(self._path), keys=len(self._keys))

    def _read(self) -> dict[str, ApiKey]:
        return {each.id: each for each in read_keys(self._path).keys}

    def _stat(self) -> tuple[int, ...]:
        try:
            state = self._path.stat()
        except OSError:
            return ()
        return state.st_ino, state.st_mtime_ns, state.st_size
