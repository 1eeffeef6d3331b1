"""Places shares: one that grows keeps its entities, a new one gets room to grow."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from forebay.pipelines.errors import ModelError
from forebay.serving.models.table import Share


def placed(present: Sequence[Share], percents: Mapping[str, float]) -> tuple[Share, ...]:
    """The shares of a new table.

    Args:
        present: of the table so far.
        percents: by `name/version`, in percent of all entities.

    Raises:
        ModelError: a share finds no room without moving the entities of another one.
    """
    starts = {each.model: each.start for each in present}
    found = [Share(model, starts[model], _end(starts[model], percents[model])) for model in percents if model in starts]
    _check_room(found)
    for model, percent in percents.items():
        if model not in starts:
            start = _start(found, model, percent)
            found.append(Share(model, start, _end(start, percent)))
    return tuple(sorted(found, key=lambda each: each.start))


def _check_room(shares: Sequence[Share]) -> None:
    for one, other in itertools.pairwise(sorted(shares, key=lambda each: each.start)):
        if one.end > other.start:
            raise ModelError(
                f"the share of {one.model} has room up to {other.start - one.start:g} %, where that of {other.model} "
                f"begins: give it less, or leave the other one out"
            )
    for each in shares:
        if each.end > 100:
            raise ModelError(
                f"the share of {each.model} has room up to {100 - each.start:g} %: give it less, or make it the live "
                f"version"
            )


def _start(shares: Sequence[Share], model: str, percent: float) -> float:
    """Where a new share begins: in the middle of the widest gap, so that it and the one before can grow."""
    if not shares:
        return 0.0
    ordered = sorted(shares, key=lambda each: each.start)
    edges = [0.0, *(edge for each in ordered for edge in (each.start, each.end)), 100.0]
    gaps = list(zip(edges[::2], edges[1::2], strict=True))
    first, end = max(gaps, key=lambda gap: gap[1] - gap[0])
    if percent > round(end - first, 2):
        raise ModelError(
            f"the share of {model} finds no room for {percent:g} %: the widest gap has {end - first:g} %; give it "
            f"less, or leave another share out"
        )
    return round(min((first + end) / 2, end - percent), 2)


def _end(start: float, percent: float) -> float:
    return round(start + percent, 2)
