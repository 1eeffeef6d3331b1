"""Something made from a candidate, and made again from a better one while the former still works."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import structlog

from forebay.pipelines.errors import StoreUnavailable
from forebay.serving.rollout.candidate import Candidate

log = structlog.get_logger("forebay.rollout")

T = TypeVar("T")

LOOK_S = 1.0


class Follows(Protocol):
    """What says which candidate is to be tried: a `Follower`."""

    def better(self) -> Candidate | None:
        """Returns a candidate to try now."""
        ...

    def taken(self, candidate: Candidate) -> None:
        """Takes note that this candidate is worked with now."""
        ...

    def refused(self, candidate: Candidate, error: Exception) -> None:
        """Takes note that the attempt failed."""
        ...


class Renewed(Generic[T]):
    """What is worked with now, in `present`: one assignment switches, so a batch sees one or the other."""

    def __init__(self, present: T, follower: Follows, make: Callable[[Candidate], T]) -> None:
        """Args:
        make: may fail with any error: then all stays as it is.
        """
        self.present = present
        self._follower = follower
        self._make = make
        self._looked_at = time.monotonic()

    def look(self) -> T:
        """Returns what to work with now; looks for a better candidate at most every `LOOK_S`."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return self.present
        self._looked_at = time.monotonic()
        try:
            candidate = self._follower.better()
        except StoreUnavailable as error:
            log.debug("not known whether the new plan's features are there", error=str(error))
            return self.present
        except Exception as error:
            log.warning("can't look for newer plans and models", error=str(error), exc_info=error)
            return self.present
        if candidate is not None:
            self._try(candidate)
        return self.present

    def _try(self, candidate: Candidate) -> None:
        try:
            self.present = self._make(candidate)
        except StoreUnavailable as error:
            log.debug("not tried, the store is away", error=str(error))
        except Exception as error:
            self._follower.refused(candidate, error)
        else:
            chosen = candidate.deployment
            log.info("switched", plan=candidate.plan.fingerprint, model=chosen.live, generation=chosen.generation)
            self._follower.taken(candidate)
