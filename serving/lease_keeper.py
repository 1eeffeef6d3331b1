"""Keeps leases on the definitions that a scorer reads, so that no processor removes their rows meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from pipelines.adapters.store import Store
from pipelines.contract.lease import LEASE_MS, lease_key
from pipelines.contract.plan import Plan
from pipelines.contract.topology import progress_field
from pipelines.errors import ForebayError
from serving.feature_reader import stored_views

log = structlog.get_logger("forebay.lease")

RENEW_S = LEASE_MS / 1_000 / 10


class LeaseKeeper:
    """Renews leases on a thread of its own, over a store connection of its own."""

    def __init__(self, project: str, store: Store, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000):
        """Args:
        now_ms: the wall clock.
        """
        self._key = lease_key(project)
        self._store = store
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._held: set[bytes] = set()

    def take(self, plan: Plan, service: str) -> None:
        """Takes leases on the definitions that a service reads, beside those that are held already.

        To be called before the first row of them is read.

        Raises:
            StoreUnavailable: the store can't be reached; no lease may have been taken.
        """
        with self._lock:
            taken = _definitions(plan, service)
            self._renew(taken)
            self._held |= taken

    def keep_only(self, plan: Plan, service: str) -> None:
        """Renews no lease any more but those of a service; the others lapse, once requests in flight are answered."""
        with self._lock:
            self._held = _definitions(plan, service)

    def start(self) -> None:
        """Renews until the process ends."""
        threading.Thread(target=self._run, name="leases", daemon=True).start()

    def renew(self) -> None:
        """Renews every lease that is held; a store that does not take them is said, and tried again the next time."""
        with self._lock:
            try:
                self._renew(self._held)
            except ForebayError as error:
                log.warning(
                    "leases not renewed: if this lasts, rows may be removed that this process reads", error=str(error)
                )

    def _renew(self, definitions: Iterable[bytes]) -> None:
        until_ms = self._now_ms() + LEASE_MS
        for definition in definitions:
            self._store.raise_in_hash(self._key, definition, until_ms)

    def _run(self) -> None:
        while True:
            time.sleep(RENEW_S)
            self.renew()


def _definitions(plan: Plan, service: str) -> set[bytes]:
    read = {view.view for view in stored_views(plan, plan.service(service))}
    return {progress_field(view) for view in plan.stream_views if view.name in read}
