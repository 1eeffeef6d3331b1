"""Every tag that Forebay reads of a Feast object: where it may stand, what it says, and what holds without it."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable
from typing import NamedTuple

_CLOSE = 0.85
"""Share of letters in common from which on an unknown tag is taken for a misspelt one, and not for the user's own."""


class Place(enum.StrEnum):
    """A kind of Feast object that has tags of ours."""

    SOURCE = "a KafkaSource"
    STREAM_VIEW = "a StreamFeatureView"
    FEATURE = "a Field that is a feature"


class Tag(NamedTuple):
    """A tag, as documented."""

    name: str
    place: Place
    values: str
    default: str
    meaning: str


_POLICIES = "`null`, `refuse`, `default:<value>`"

TAGS = (
    Tag("key", Place.SOURCE, "columns, comma separated", "none", "what the topic is keyed by"),
    Tag("framing", Place.SOURCE, "`none`, `confluent`", "`none`", "whether a schema id stands before every event"),
    Tag("time_unit", Place.SOURCE, "`s`, `ms`, `us`, `ns`", "`ms`", "what event times that are whole numbers count"),
    Tag("old_times", Place.SOURCE, "`refuse`, `allow`", "`refuse`", "what becomes of events from before 1971"),
    Tag(
        "allowed_lateness",
        Place.SOURCE,
        "a duration",
        "the view's longest window",
        "how far behind the newest event of its partition an event may come",
    ),
    Tag("allowed_ahead", Place.SOURCE, "a duration", "`1h`", "how much later than its record an event may say it was"),
    Tag("event_id", Place.SOURCE, "a column", "none", "what names an event: one that is sent twice counts once"),
    Tag("event_id_window", Place.SOURCE, "a duration", "the allowed lateness, else `1h`", "how long ids last"),
    Tag(
        "scoring_horizon",
        Place.STREAM_VIEW,
        "a duration",
        "`1h`, or as much more as the lateness needs",
        "how long before a row's newest event windows are still whole",
    ),
    Tag(
        "resolution",
        Place.STREAM_VIEW,
        "a duration that divides every slide",
        "the slides' greatest common divisor",
        "how much later than t an event in a window as of t may be",
    ),
    Tag(
        "incomplete",
        Place.STREAM_VIEW,
        "`refuse`, `null`, `serve`",
        "`refuse`",
        "what becomes of a window that is not whole",
    ),
    Tag(
        "infinite",
        Place.STREAM_VIEW,
        "`refuse`, `null`",
        "`refuse`",
        "what becomes of an event of which the view's function makes an infinite number",
    ),
    Tag(
        "publish",
        Place.STREAM_VIEW,
        "`each`, `every <duration>`, `never`",
        "`each`",
        "how often what the Feast SDK reads is written: with each batch, at most that seldom per entity, or not at all",
    ),
    Tag("missing", Place.FEATURE, _POLICIES, "`null`", "what the model gets where there is no value"),
    Tag("stale", Place.FEATURE, _POLICIES, "`null`", "what the model gets where a value is older than the ttl"),
)

_BY_NAME = {tag.name: tag for tag in TAGS}


def misplaced(names: Iterable[str], place: Place | None) -> str | None:
    """Says what is wrong with the first tag that has no effect although it is, or looks like, one of Forebay's; else
    None.

    Args:
        place: the kind of object that has the tags; None: one that takes none of ours.
    """
    here = [tag.name for tag in TAGS if tag.place == place]
    for name in names:
        tag = _BY_NAME.get(name)
        if tag is None:
            plain = name.strip().lower().replace("-", "_")
            if close := difflib.get_close_matches(plain, here, n=1, cutoff=_CLOSE):
                return f"tag {name!r} is unknown; write {close[0]!r}, or give your own tag another name"
        elif tag.place != place:
            return f"tag {name!r} has no effect there; put it on {tag.place}, or give your own tag another name"
    return None
