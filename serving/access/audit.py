"""The audit log: who asked for what, and what became of it, as JSON lines."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec
import structlog

from forebay.pipelines.errors import SettingsError
from forebay.serving.access.metrics import UNWRITTEN
from forebay.serving.access.visit import Asked, Visit

log = structlog.get_logger("forebay.serve")

MAX_WAITING = 10_000
"""Lines; beyond it they are lost, and counted, so that a slow disk delays nobody."""

KEY_BYTES = 16
"""Least length of the key: entities are few enough to be guessed one by one without it."""

_HASH_BYTES = 8

_GATHER_S = 0.05
"""Lines of this time are written together: a thread that wakes for each would hold up the event loop."""


class AuditSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the audit log is, and what entities are hashed with."""

    file: str
    """Appended to; one that is moved away is made anew, as logrotate expects."""
    key_file: str
    """Holds the key: with it, the lines of a known entity can be found."""


class AuditLog:
    """Writes on a thread of its own. `write` may be called by one thread."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Raises `SettingsError`: the file can't be written."""
        self._path = path
        self._key = key
        self._lines: queue.Queue[tuple[datetime, Visit, str] | None] = queue.Queue(MAX_WAITING)
        self._open().close()
        self._thread = threading.Thread(target=self._run, name="forebay-audit", daemon=True)
        self._thread.start()

    def write(self, now: datetime, visit: Visit, outcome: str) -> None:
        """Writes a line soon. Never waits.

        Args:
            outcome: the status that the door answered with.
        """
        try:
            self._lines.put_nowait((now, visit, outcome))
        except queue.Full:
            UNWRITTEN.inc()

    def close(self) -> None:
        """Writes what waits, for five seconds at most."""
        try:
            self._lines.put(None, timeout=5)
        except queue.Full:
            return
        self._thread.join(5)

    def _run(self) -> None:
        while (first := self._lines.get()) is not None:
            time.sleep(_GATHER_S)
            batch, ended = [first], False
            while not ended and len(batch) < MAX_WAITING:
                try:
                    following = self._lines.get_nowait()
                except queue.Empty:
                    break
                ended = following is None
                batch += [] if following is None else [following]
            self._append(batch)
            if ended:
                break

    def _append(self, batch: list[tuple[datetime, Visit, str]]) -> None:
        try:
            # Opened each time: logrotate may have moved the file away.
            with self._open() as file:
                file.write(b"".join(self._line(*each) for each in batch))
        except Exception as error:  # whatever it is, the lines that follow must be written
            UNWRITTEN.inc(len(batch))
            log.error("audit lines lost", lines=len(batch), error=str(error))

    def _line(self, now: datetime, visit: Visit, outcome: str) -> bytes:
        content: dict[str, Any] = {
            "time": now.astimezone(UTC).isoformat(timespec="milliseconds"),
            "principal": None if visit.principal is None else visit.principal.id,
            "door": visit.door,
            "action": None if visit.need is None else visit.need.action.value,
            "model": (visit.need and visit.need.model) or None,
            "entities": list(self._hashes(visit.asked)),
            "outcome": outcome,
        }
        return msgspec.json.encode(content) + b"\n"

    def _hashes(self, asked: Asked | None) -> Iterator[str]:
        if asked is None:
            return
        names = sorted(asked.join_keys)
        for fields in asked.entities:
            # The same entity has the same hash by whatever door it is asked for.
            value = msgspec.json.encode([[name, fields.get(name)] for name in names])
            yield hashlib.blake2b(value, digest_size=_HASH_BYTES, key=self._key).hexdigest()

    def _open(self) -> IO[bytes]:
        try:
            return os.fdopen(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
        except OSError as error:
            raise SettingsError(f"the audit log {self._path} can't be written: {error}") from error


def open_audit_log(settings: AuditSettings) -> AuditLog:
    """Opens the audit log.

    Raises:
        SettingsError: the key can't be read or is too short, or the log can't be written.
    """
    path = Path(settings.key_file)
    repair = f"write one with `openssl rand -hex 32 > {path}`"
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"the key of the audit log {path} can't be read: {error}; {repair}") from error
    if len(key) < KEY_BYTES:
        raise SettingsError(f"the key of the audit log {path} has {len(key)} bytes, fewer than {KEY_BYTES}: {repair}")
    # BLAKE2 takes 64 bytes at most.
    return AuditLog(Path(settings.file), hashlib.blake2b(key).digest())
