"""Claims walks in the store, so that of all processes that compute a definition one walks over its rows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import progress_field
from forebay.pipelines.contract.store.walk_claim import WalkClaim, decode_walk_claim, encode_walk_claim, walks_key

HELD_MS = 60_000
"""How long a claim lasts that is not renewed: after it, another process takes over the walk of one that died."""

RENEWED_AFTER_S = HELD_MS / 1_000 / 4


class WalkClaims:
    """The claims of one process on walks over the rows of some definitions. Not thread-safe.

    Every method raises `StoreUnavailable`; what is claimed then stays so until the claim lapses.
    """

    def __init__(
        self, project: str, store: Store, every_ms: int, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Args:
        every_ms: how long after a walk the next one is due.
        """
        self._key = walks_key(project)
        self._store = store
        self._every_ms = every_ms
        self._now_s = monotonic_s
        self._name = uuid.uuid4().hex
        self._held: dict[str, tuple[StreamView, bytes]] = {}
        """By fingerprint, what is claimed, and the claim as stored."""
        self._renewed_s = 0.0

    def claim(self, views: Sequence[StreamView]) -> int:
        """Claims the walks that are due, and are not another process's.

        Returns:
            After how many ms to ask again: when a walk is due, or may be taken over from a process that died.
        """
        stored, now_ms = self._store.read_hash(self._key), self._store.now_ms()
        self._held, self._renewed_s, wait_ms = {}, self._now_s(), self._every_ms
        for view in views:
            before = stored.get(progress_field(view))
            theirs_ms = self._left_ms(before, now_ms)
            if theirs_ms > 0:
                wait_ms = min(wait_ms, theirs_ms)
            elif not self._replace(view, before, now_ms + HELD_MS):
                wait_ms = min(wait_ms, HELD_MS)  # another process was quicker
        return wait_ms

    def held(self) -> Sequence[StreamView]:
        """Returns the definitions whose rows this process is to walk over; called before each part of the walk."""
        if self._held and self._now_s() >= self._renewed_s + RENEWED_AFTER_S:
            self._last_until(self._store.now_ms() + HELD_MS)
            self._renewed_s = self._now_s()
        return [view for view, _ in self._held.values()]

    def complete(self) -> None:
        """Takes note that the walks are complete: nobody makes the next ones before they are due."""
        self._last_until(self._store.now_ms() + self._every_ms)
        self._held = {}

    def _left_ms(self, stored: bytes | None, now_ms: int) -> int:
        """Computes how long another process's claim lasts; 0 where there is none."""
        if stored is None:
            return 0
        claim = decode_walk_claim(stored)
        left_ms = claim.until_ms - now_ms
        # More than the longest claim is left only where the store's clock was set back.
        return left_ms if claim.claimant != self._name and left_ms <= max(self._every_ms, HELD_MS) else 0

    def _last_until(self, until_ms: int) -> None:
        for view, before in list(self._held.values()):
            self._replace(view, before, until_ms)

    def _replace(self, view: StreamView, before: bytes | None, until_ms: int) -> bool:
        """Replaces a claim, unless another process has done so meanwhile; whether it is this process's now."""
        after = encode_walk_claim(WalkClaim(until_ms, self._name))
        if before is None:
            mine = self._store.add_to_hash(self._key, progress_field(view), after)
        else:
            mine = self._store.replace_in_hash(self._key, progress_field(view), before, after)
        if mine:
            self._held[view.fingerprint] = view, after
        else:
            self._held.pop(view.fingerprint, None)
        return mine
