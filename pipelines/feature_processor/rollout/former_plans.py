"""Keeps replaced plans beside the plan file, for as long as scorers may read their definitions.

A processor that restarts with a newer plan finds there what the older one computed. Plans hold functions, which are
code: they are files with the owner and mode of the plan file, and never come from the store.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import structlog

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import read_plan, write_plan
from forebay.pipelines.contract.store.keys import progress_field
from forebay.pipelines.errors import PlanError

log = structlog.get_logger("forebay.process")


class KeptPlans:
    """The plans that replaced each other in one plan file, newest first."""

    def __init__(self, plan_file: Path | None) -> None:
        """Args:
        plan_file: where the live plan is; None: plans are kept in memory only.
        """
        self._folder = plan_file.with_name(f"{plan_file.name}.kept") if plan_file else None
        self.plans = self._read()

    def keep(self, plan: Plan) -> None:
        """Keeps a plan, as the newest."""
        self.plans = [plan, *(each for each in self.plans if each.fingerprint != plan.fingerprint)]
        if self._folder is not None:
            try:
                write_plan(plan, self._folder / plan.fingerprint)
            except PlanError as error:
                log.warning("plan not kept: a restart ends its definitions", error=str(error))

    def drop_unread(self, leased: Collection[bytes], present: Plan) -> None:
        """Drops the plans that no scorer reads.

        Args:
            leased: names of the definitions that scorers hold a lease on.
            present: the live plan, which stays.
        """
        for plan in list(self.plans):
            if plan.fingerprint == present.fingerprint or any(
                progress_field(view) in leased for view in plan.stream_views
            ):
                continue
            self.plans.remove(plan)
            if self._folder is not None:
                (self._folder / plan.fingerprint).unlink(missing_ok=True)

    def _read(self) -> list[Plan]:
        if self._folder is None or not self._folder.is_dir():
            return []
        found = []
        for path in self._folder.iterdir():
            try:
                found.append(read_plan(path))
            except PlanError as error:
                log.warning("a kept plan can't be used", error=str(error))
        return sorted(found, key=lambda plan: plan.generation, reverse=True)
