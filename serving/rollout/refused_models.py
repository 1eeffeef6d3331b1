"""Which versions of the model are refused and why, for as long as they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from forebay.pipelines.adapters.refused_plan import SAY_EVERY_S
from forebay.pipelines.errors import ForebayError
from forebay.serving.observe.metrics import MODEL_REFUSED

log = structlog.get_logger("forebay.models")


class RefusedModels:
    """Of one process. A metric stays, and a line in the log is repeated, until a version is cleared."""

    def __init__(self, model: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._now_s = monotonic_s
        self._errors: Mapping[str, Exception] = {}
        """By version. Replaced, never changed: another thread may read it."""
        self._say_at_s: dict[str, float] = {}

    @property
    def reasons(self) -> dict[str, str]:
        """Version -> why it is refused."""
        return {version: str(error) for version, error in self._errors.items()}

    def refuse(self, version: str, error: Exception) -> None:
        """Takes note that a version is refused, and says so if it is news."""
        if repr(self._errors.get(version)) != repr(error):
            self.clear(version)
            self._errors = {**self._errors, version: error}
            MODEL_REFUSED.labels(self._model, version, type(error).__name__).set(1)
        self.say_again(version)

    def say_again(self, version: str) -> None:
        """Repeats the line if this version is refused, and the last one is long ago."""
        error = self._errors.get(version)
        if error is None or self._now_s() < self._say_at_s.get(version, float("-inf")):
            return
        self._say_at_s[version] = self._now_s() + SAY_EVERY_S
        log.warning(
            "model version refused, going on with the version there was",
            model=self._model,
            version=version,
            reason=type(error).__name__,
            error=str(error),
            exc_info=None if isinstance(error, ForebayError) else error,
        )

    def clear(self, version: str) -> None:
        """Takes note that a version is not refused any more."""
        error = self._errors.get(version)
        if error is not None:
            MODEL_REFUSED.labels(self._model, version, type(error).__name__).set(0)
        self._errors = {name: kept for name, kept in self._errors.items() if name != version}
        self._say_at_s.pop(version, None)

    def keep(self, versions: set[str]) -> None:
        """Clears all versions but these: the others are gone."""
        for version in self._errors.keys() - versions:
            self.clear(version)
