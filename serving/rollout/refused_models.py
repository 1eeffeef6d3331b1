"""Remembers which versions of a model, or which table, a process refuses, and says so for as long as it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import structlog

from forebay.pipelines.adapters.refusals import Refusals
from forebay.serving.observe.metrics import MODEL_REFUSED

log = structlog.get_logger("forebay.models")


class RefusedModels(Refusals):
    """The refused versions of one model in one process, and among them its table, by the name `deployment.yaml`."""

    def __init__(self, model: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        warn = partial(log.warning, "model version refused, going on with the version there was", model=model)
        super().__init__(
            partial(MODEL_REFUSED.labels, model), lambda version, **why: warn(version=version, **why), monotonic_s
        )

    @property
    def reasons(self) -> dict[str, str]:
        """Version -> why it is refused."""
        return {version: str(error) for version, error in self.errors.items()}

    def keep(self, versions: set[str]) -> None:
        """Stops refusing all versions but these: the others are gone."""
        for version in self.errors.keys() - versions:
            self.clear(version)
