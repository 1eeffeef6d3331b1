"""Reads the tags of a stream view: what its rows keep, when they are published, what becomes of incomplete windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from forebay.pipelines.compiler.schema import duration_ms
from forebay.pipelines.contract.plan.durations import duration_text
from forebay.pipelines.contract.plan.views import HOUR_MS, Aggregation
from forebay.pipelines.errors import PlanError

LEAST_PUBLISH_EVERY_MS = 1_000


class StateTags(TypedDict):
    """The fields of a `StreamView` that come from tags."""

    scoring_horizon_ms: int
    resolution_ms: int | None
    incomplete: Literal["refuse", "null", "serve"]
    infinite: Literal["refuse", "null"]
    publish_every_ms: int | None


def state_tags(
    tags: Mapping[str, str], aggregations: Sequence[Aggregation], lateness_ms: int | None, where: str
) -> StateTags:
    """Reads the tags `scoring_horizon`, `resolution`, `incomplete`, `infinite` and `publish`.

    Args:
        lateness_ms: the allowed lateness of the view's source.

    Raises:
        PlanError: naming the view, the tag and what to write.
    """
    return {
        "scoring_horizon_ms": _horizon_ms(tags.get("scoring_horizon"), aggregations, lateness_ms or 0, where),
        "resolution_ms": _resolution_ms(tags.get("resolution"), aggregations, where),
        "incomplete": _incomplete(tags.get("incomplete", "refuse"), where),
        "infinite": _infinite(tags.get("infinite", "refuse"), where),
        "publish_every_ms": _publish_every_ms(tags.get("publish", "each"), aggregations, where),
    }


def _horizon_ms(tag: str | None, aggregations: Sequence[Aggregation], lateness_ms: int, where: str) -> int:
    """Returns the horizon in ms, so long that every event that is not late is in a window as of some time inside it."""
    # As of the start of a slide, a window reaches back by one slide less than its length.
    reach_ms = max(each.window_ms - each.slide_ms for each in aggregations)
    needed_ms = lateness_ms - reach_ms
    if tag is None:
        return max(HOUR_MS, needed_ms)
    horizon_ms = duration_ms(tag, f"{where}: tag 'scoring_horizon'")
    if horizon_ms < needed_ms:
        raise PlanError(
            f"{where}: its source allows events to be {duration_text(lateness_ms)} late, but with 'scoring_horizon' "
            f"{tag!r} no window holds one: write {duration_text(needed_ms)!r} or more, or lower 'allowed_lateness'"
        )
    return horizon_ms


def _resolution_ms(tag: str | None, aggregations: Sequence[Aggregation], where: str) -> int | None:
    if tag is None:
        return None
    resolution_ms = duration_ms(tag, f"{where}: tag 'resolution'")
    slides_ms = {each.slide_ms for each in aggregations}
    if not resolution_ms or any(slide_ms % resolution_ms for slide_ms in slides_ms):
        slides = ", ".join(duration_text(each) for each in sorted(slides_ms))
        raise PlanError(
            f"{where}: tag 'resolution' is {tag!r}, which does not divide every slide ({slides}); "
            f"write {duration_text(math.gcd(*slides_ms))!r} or a part of it"
        )
    return resolution_ms


def _incomplete(tag: str, where: str) -> Literal["refuse", "null", "serve"]:
    match tag:
        case "refuse" | "null" | "serve":
            return tag
    raise PlanError(f"{where}: tag 'incomplete' is {tag!r}; write 'refuse', 'null' or 'serve'")


def _infinite(tag: str, where: str) -> Literal["refuse", "null"]:
    match tag:
        case "refuse" | "null":
            return tag
    raise PlanError(f"{where}: tag 'infinite' is {tag!r}; write 'refuse' or 'null'")


def _publish_every_ms(tag: str, aggregations: Sequence[Aggregation], where: str) -> int | None:
    """Returns how old what Feast reads may be, in ms: 0 for `each`, None for `never`."""
    where = f"{where}: tag 'publish'"
    match tag.split():
        case ["each"]:
            return 0
        case ["never"]:
            return None
        case ["every", duration]:
            every_ms = duration_ms(duration, where)
        case _:
            raise PlanError(f"{where} is {tag!r}; write 'each', 'never', or 'every' and a duration: 'every 5s'")
    if every_ms < LEAST_PUBLISH_EVERY_MS:
        least = duration_text(LEAST_PUBLISH_EVERY_MS)
        raise PlanError(f"{where} is {tag!r}, but a batch may take as long: write 'every {least}' or more, or 'each'")
    longest_ms = max(each.window_ms for each in aggregations)
    if every_ms > longest_ms:
        raise PlanError(
            f"{where} is {tag!r}, longer than the view's longest window: the Feast SDK would read counts of events "
            f"that left it long ago; write 'every {duration_text(longest_ms)}' or less"
        )
    return every_ms
