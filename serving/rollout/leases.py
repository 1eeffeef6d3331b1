"""A scoring process's lease on the definitions it reads: as long as it holds, processors keep and compute them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

from forebay.pipelines.contract.store.lease import Lease, encode_lease, leases_key
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.process.every import Every

log = structlog.get_logger("forebay.leases")

LEASE_S = 120.0
"""How long a lease holds by the store's clock, unless it is renewed: a killed process keeps definitions for so long."""

RENEW_S = 10.0

LINGER_S = 60.0
"""How long a definition is leased after the switch to another one: requests that came before it still read the old."""


class LeaseStore(Protocol):
    """What leases need of a store. Its methods raise `StoreUnavailable`."""

    def now_ms(self) -> int:
        """Returns the store's own clock, ms since the epoch."""
        ...

    def write_hash(self, key: bytes, fields: dict[bytes, bytes]) -> None:
        """Sets fields of a hash."""
        ...

    def remove_from_hash(self, key: bytes, fields: list[bytes]) -> None:
        """Removes fields of a hash."""
        ...


class DefinitionLeases:
    """The lease of one process. Thread-safe: while the context lasts, a thread of its own renews the lease."""

    def __init__(self, project: str, store: LeaseStore, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._key = leases_key(project)
        self._store = store
        self._now_s = monotonic_s
        self._holder = uuid.uuid4().hex.encode()
        self._held: frozenset[bytes] = frozenset()
        self._lingering: dict[bytes, float] = {}
        """By definition that is not read by what begins now, until when it is leased (monotonic seconds)."""
        self._lock = threading.Lock()

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renews the lease until the context ends, then releases it."""
        try:
            with Every(RENEW_S, self.renew, "forebay-leases"):
                yield
        finally:
            self._release()

    def hold(self, definitions: frozenset[bytes]) -> None:
        """Leases these too; when it returns, the store knows.

        Raises:
            StoreUnavailable: it may not know.
        """
        with self._lock:
            self._held |= definitions
            self._write()

    @contextmanager
    def switching(self, definitions: frozenset[bytes]) -> Iterator[None]:
        """Leases these as well while something is made that reads them; afterwards them alone, if it could be made.

        Raises:
            StoreUnavailable: the store does not know of the lease, so nothing may be read.
        """
        kept = before = self._held
        try:
            self.hold(definitions)
            yield
            kept = definitions
        finally:
            with self._lock:
                until_s = self._now_s() + LINGER_S
                self._lingering |= dict.fromkeys(before - kept, until_s)
                self._held = kept

    def renew(self) -> None:
        """Lets the lease hold on. A store that can't be reached only delays it."""
        try:
            with self._lock:
                self._write()
        except StoreUnavailable as error:
            log.warning("lease not renewed", error=str(error), definitions=sorted(map(bytes.decode, self._held)))

    def _write(self) -> None:
        now_s = self._now_s()
        self._lingering = {name: until_s for name, until_s in self._lingering.items() if until_s > now_s}
        lease = Lease(self._store.now_ms() + int(LEASE_S * 1_000), self._held | self._lingering.keys())
        self._store.write_hash(self._key, {self._holder: encode_lease(lease)})

    def _release(self) -> None:
        try:
            with self._lock:
                self._store.remove_from_hash(self._key, [self._holder])
        except StoreUnavailable as error:
            log.warning("lease not released, it lapses", error=str(error), seconds=LEASE_S)
