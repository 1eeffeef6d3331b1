"""Feature views: of streams, of batches, and computed on demand."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from forebay.pipelines.contract.plan.types import DataType, EventId, Function

MAX_TILES_PER_WINDOW = 1_024

MAX_TILES_PER_SLIDE = 4_096
"""Tiles of one length that a row may keep: of its longest window, of the horizon, and of heads of longer slides."""

HOUR_MS = 3_600_000


class JoinKey(msgspec.Struct, frozen=True):
    """One join key of an entity."""

    name: str
    dtype: DataType


class Policy(msgspec.Struct, frozen=True):
    """What the scoring path does where a value is missing, or older than the view's ttl."""

    action: Literal["null", "default", "refuse"] = "null"
    default: float | str | bool | None = None


class Feature(msgspec.Struct, frozen=True):
    """A named, typed feature of any kind of view."""

    name: str
    dtype: DataType
    missing: Policy = Policy()
    stale: Policy = Policy()


class Aggregation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A windowed aggregation; `name` is the feature it fills."""

    name: str
    column: str
    """The aggregated column; empty for a count of rows."""
    function: Function
    window_ms: int
    slide_ms: int
    parameter: int = 0
    """Of a quantile: percent. Of a decayed sum: its half-life in ms. Of a list: its greatest length. Absent from the
    fingerprints of the others."""
    text: bool = False
    """Whether the values it keeps are texts."""
    whole: bool = False
    """Whether its values are whole numbers of 64 bits, which a float64 can't hold: they are aggregated exactly."""

    @property
    def tiles(self) -> int:
        """Number of tiles the window spans (the open one included)."""
        return self.window_ms // self.slide_ms


class Udf(msgspec.Struct, frozen=True):
    """A user's function as Feast stored it (dill), with the text to show and hash."""

    name: str
    mode: Literal["pandas", "python"]
    body: bytes
    text: str
    singleton: bool = False
    """Python mode of on-demand views only: called once per row with scalars."""


class StreamView(msgspec.Struct, frozen=True):
    """A Feast `StreamFeatureView` with windowed aggregations."""

    name: str
    join_keys: tuple[JoinKey, ...]
    source: str
    """Name of the `Source`."""
    timestamp_field: str
    aggregations: tuple[Aggregation, ...]
    features: tuple[Feature, ...]
    """Same order as `aggregations`: feature i is filled by aggregation i."""
    udf: Udf | None = None
    ttl_ms: int = 0
    """0: features of this view never go stale."""
    scoring_horizon_ms: int = HOUR_MS
    """Tag `scoring_horizon`: as of any time that is no further before a row's newest event, every window is whole."""
    resolution_ms: int | None = None
    """Tag `resolution`: as of t a window holds no event from later than its next multiple; None: see `head_ms`."""
    incomplete: Literal["refuse", "null", "serve"] = "refuse"
    """Tag `incomplete`: what becomes of a window that lacks events its row no longer keeps."""
    infinite: Literal["refuse", "null"] = "refuse"
    """Tag `infinite`: whether an event of which the function makes an infinite number is refused, or has a null."""
    publish_every_ms: int | None = 0
    """Tag `publish`: what Feast reads is never older than its row by more than this. 0: it is written with every batch;
    None: never."""
    online: bool = True
    batch_path: str | None = None
    """Absolute path of the view's batch source (Parquet), which `forebay backfill` writes."""
    batch_timestamp_field: str = "event_timestamp"
    event_id: EventId | None = None
    """That of the source."""
    fingerprint: str = ""
    """16 hex digits over everything that changes the meaning of stored state."""

    @property
    def publishes(self) -> bool:
        """Whether values of it are written where Feast reads, if this definition is the published one."""
        return self.publish_every_ms is not None

    @property
    def longest_window_ms(self) -> int:
        """Length of the longest window."""
        return max(aggregation.window_ms for aggregation in self.aggregations)

    @property
    def head_ms(self) -> int:
        """Length of the tiles that hold the newest part of every window; divides every slide."""
        return self.resolution_ms or math.gcd(*(each.slide_ms for each in self.aggregations))

    @property
    def expire_ms(self) -> int:
        """How long what Feast reads of a row lives after its last write: all its windows are empty by then."""
        return max(self.ttl_ms, *(each.window_ms + each.slide_ms for each in self.aggregations))

    @property
    def state_life_ms(self) -> int:
        """How much newer than a row an event must be to need none of its tiles, as of any time inside the horizon."""
        return self.expire_ms + self.scoring_horizon_ms


class BatchView(msgspec.Struct, frozen=True):
    """A Feast `FeatureView`, filled by `feast materialize` and only read here."""

    name: str
    join_keys: tuple[JoinKey, ...]
    features: tuple[Feature, ...]
    ttl_ms: int = 0
    batch_path: str | None = None
    """Absolute path of the batch source (Parquet), read for training rows."""
    timestamp_field: str = "event_timestamp"
    created_timestamp_field: str = ""
    """Of rows with the same event time the one that was created last counts; empty: the last one of the file."""
    file_columns: dict[str, str] = {}
    """Join key, feature or time -> its column in the batch source, where `field_mapping` renames that column."""
    online: bool = True
    """Whether it is materialized."""

    def file_column(self, name: str) -> str:
        """Returns the column of the batch source that holds a join key, a feature or a time."""
        return self.file_columns.get(name, name)


class OnDemandInput(msgspec.Struct, frozen=True):
    """A column handed to an on-demand transform."""

    name: str
    view: str
    """Alias of the view it comes from; empty: a field of the request."""
    dtype: DataType


class OnDemandView(msgspec.Struct, frozen=True):
    """A Feast `OnDemandFeatureView`, run on the scoring path over a whole micro-batch."""

    name: str
    inputs: tuple[OnDemandInput, ...]
    features: tuple[Feature, ...]
    udf: Udf
