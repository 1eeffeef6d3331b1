"""Notices that the plan file was replaced."""

from __future__ import annotations

from pathlib import Path

import structlog

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.errors import PlanError

log = structlog.get_logger("forebay.plan")

_Stamp = tuple[int, int, int]


class PlanWatch:
    """Looks at the file's time, size and number, and reads it when one of them has changed."""

    def __init__(self, path: Path, known: Plan) -> None:
        """Args:
        known: the plan that was read from there last.
        """
        self._path = path
        self._known = _identity(known)
        self.unusable: PlanError | None = None
        """Why the file that is there now can't be used."""
        self._stamp: _Stamp | None = None

    def newer(self) -> Plan | None:
        """Returns the plan, if it is another one than the last, or of another generation; a file that can't be used is
        said once, and left alone.
        """
        stamp = _stamp(self._path)
        if stamp is None or stamp == self._stamp:
            return None
        self._stamp, self.unusable = stamp, None
        try:
            plan = read_plan(self._path)
        except PlanError as error:
            self.unusable = error
            log.warning("going on with the plan there was", error=str(error))
            return None
        if _identity(plan) == self._known:
            return None
        self._known = _identity(plan)
        return plan


def _identity(plan: Plan) -> tuple[str, int]:
    return plan.fingerprint, plan.generation


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
