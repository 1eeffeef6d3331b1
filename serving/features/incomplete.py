"""Incomplete windows: what becomes of a window that lacks events which its row no longer keeps."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import numpy as np

from forebay.pipelines.errors import FeatureRefused, RequestError
from forebay.pipelines.steps.arrays import Column, Ints
from forebay.serving.features.missing_values import Bools
from forebay.serving.features.rows import ViewColumns


class Wholeness:
    """From when on the windows of one view are whole that one feature service uses, for n requests."""

    def __init__(self, view: ViewColumns, used: Collection[str], as_of_ms: Ints) -> None:
        """Args:
        used: names of the features that count.
        as_of_ms: shape (n,).
        """
        self._view = view
        self._as_of_ms = as_of_ms
        names = [feature.name for feature in view.features]
        self._from_ms = dict(zip(names, view.whole_from_ms, strict=True)) if len(view.whole_from_ms) else {}
        latest = [self._from_ms[name] for name in used if name in self._from_ms]
        self.from_ms: Ints | None = np.maximum.reduce(latest) if latest else None
        """Shape (n,): the earliest time from which on all of them are whole, ms; None: they always are."""

        self.incomplete = 0 if self.from_ms is None else int((as_of_ms < self.from_ms).sum())
        """Number of requests with a window that is not whole."""

    def complete(self, at: int) -> bool:
        """Tells whether every window of one request is whole."""
        return self.from_ms is None or bool(self._as_of_ms[at] >= self.from_ms[at])

    def apply(
        self, name: str, full_name: str, column: Column, refusals: dict[int, RequestError]
    ) -> tuple[Column, Bools | None]:
        """Applies the view's policy to one feature.

        Args:
            full_name: the feature's, for the message.
            refusals: gets the requests that the policy refuses, by index.

        Returns:
            The column, null where the policy says so, and where that is, shape (n,); None: nowhere.
        """
        if not self.incomplete or name not in self._from_ms or self._view.incomplete == "serve":
            return column, None
        lacking = self._as_of_ms < self._from_ms[name]
        if not lacking.any():
            return column, None
        if self._view.incomplete == "refuse":
            for index in np.flatnonzero(lacking).tolist():
                refusals.setdefault(index, self._refusal(full_name, name, index))
            return column, None
        column = column.copy()
        column[lacking] = None if column.dtype == object else np.nan
        return column, lacking

    def _refusal(self, full_name: str, name: str, at: int) -> FeatureRefused:
        asked, whole = _utc(int(self._as_of_ms[at])), _utc(int(self._from_ms[name][at]))
        return FeatureRefused(
            f"$.{full_name}",
            f"incomplete as of {asked}: its row holds all events of the window only as of {whole} and later; "
            f"lengthen the view's tag scoring_horizon, or set its tag incomplete to 'null' or 'serve'",
            "incomplete",
        )


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")
