"""Limits of each principal: how many requests per second, and how many at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
from cachetools import LRUCache

from forebay.serving.access.errors import Rate, TooManyRequests

PRINCIPALS = 65_536
"""Whose rates are kept; beyond them, who has not asked for longest starts anew."""


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one principal may ask for, of one process."""

    requests_per_s: float | None = None
    """In the long run; None: any number."""
    burst: int | None = None
    """At once, after a pause; None: what comes in a second."""
    concurrent: int | None = None
    """Answered at the same time; None: any number."""

    @property
    def most_at_once(self) -> int:
        """Returns the burst."""
        return self.burst or math.ceil(self.requests_per_s or 1)


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of all principals."""

    default: Limit = Limit()
    """Of each one that is not named."""
    principals: dict[str, Limit] = {}
    """By id: `key:NAME`, `ISSUER:SUBJECT` or `token`."""


class Limits:
    """Counts what principals ask for. All methods belong to one event loop.

    The rate is the generic cell rate algorithm (ITU-T I.371): one number per principal, the time at which its bucket
    will be full again.
    """

    def __init__(self, settings: LimitSettings, monotonic_s: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic_s = monotonic_s
        self._full_s: LRUCache[str, float] = LRUCache(PRINCIPALS)
        self._answering: dict[str, int] = {}

    def enter(self, principal: str) -> Rate | None:
        """Counts a request; `leave` has to follow. Returns what is left of the rate, or None if there is no limit.

        Raises:
            TooManyRequests: it is one too many, and not counted.
        """
        limit = self._settings.principals.get(principal, self._settings.default)
        answering = self._answering.get(principal, 0)
        if limit.concurrent is not None and answering >= limit.concurrent:
            message = f"{principal} has {limit.concurrent} requests at the same time, its limit: wait for one of them"
            raise TooManyRequests(message, 1, None)
        rate = self._take(principal, limit)
        self._answering[principal] = answering + 1
        return rate

    def leave(self, principal: str) -> None:
        """Ends a request that was counted."""
        answering = self._answering[principal] - 1
        if answering:
            self._answering[principal] = answering
        else:
            # Subjects of tokens may be any number: nothing is kept of those who are not here.
            del self._answering[principal]

    def _take(self, principal: str, limit: Limit) -> Rate | None:
        if limit.requests_per_s is None:
            return None
        now_s = self._monotonic_s()
        apart_s = 1 / limit.requests_per_s
        most = limit.most_at_once
        full_s = max(self._full_s.get(principal, now_s), now_s)
        missing = (full_s - now_s) / apart_s
        if missing > most - 1 + 1e-9:
            wait_s = math.ceil((missing - (most - 1)) * apart_s)
            rate = Rate(most, math.ceil(most * apart_s), 0, math.ceil(full_s - now_s))
            raise TooManyRequests(
                f"{principal} may ask {limit.requests_per_s:g} times per second, {most} times at once: "
                f"wait for {wait_s} s",
                wait_s,
                rate,
            )
        self._full_s[principal] = full_s = full_s + apart_s
        left = int(most - (full_s - now_s) / apart_s + 1e-9)
        return Rate(most, math.ceil(most * apart_s), left, math.ceil(full_s - now_s))
