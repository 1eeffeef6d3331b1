"""The plan: everything the long-running processes need to know of a Feast registry.

`pipelines.compiler` writes it (the only code that imports Feast); every other process reads it.
All structs are frozen. Durations are integer milliseconds and say so in their names.
"""

from __future__ import annotations

import enum
import math
from typing import Literal, TypeVar

import msgspec

Named = TypeVar("Named", "Source", "StreamView", "BatchView", "OnDemandView", "FeatureService")

PLAN_FORMAT = 5
"""Version of the plan file's layout; a file of another version is refused, never guessed at."""

MAX_TILES_PER_WINDOW = 1_024

MAX_TILES_PER_SLIDE = 4_096
"""Tiles of one length that a row may keep: of its longest window, of the horizon, and of heads of longer slides."""

MAX_EVENT_IDS = 1_024
"""Events of one entity that a row remembers by their ids; one more, and the oldest is forgotten."""

HOUR_MS = 3_600_000

TimeUnit = Literal["s", "ms", "us", "ns"]


class DataType(enum.StrEnum):
    """Types that events, join keys and features may have (Feast's names, lower case); lists only features."""

    STRING = "string"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOL = "bool"
    UNIX_TIMESTAMP = "unix_timestamp"
    STRING_LIST = "array(string)"
    INT32_LIST = "array(int32)"
    INT64_LIST = "array(int64)"
    FLOAT32_LIST = "array(float32)"
    FLOAT64_LIST = "array(float64)"
    BOOL_LIST = "array(bool)"
    UNIX_TIMESTAMP_LIST = "array(unix_timestamp)"

    @property
    def is_list(self) -> bool:
        """Whether values of this type are lists."""
        return self.value.startswith("array(")

    @property
    def element(self) -> DataType:
        """The type of a list's elements; of a scalar, the type itself."""
        return DataType(self.value.removeprefix("array(").removesuffix(")"))

    @property
    def is_numeric(self) -> bool:
        """Whether values of this type can be held in a float64 column."""
        return self is not DataType.STRING and not self.is_list


class Function(enum.StrEnum):
    """Windowed aggregation functions."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STD = "std"
    VAR = "var"
    FIRST = "first"
    LAST = "last"
    TIME_SINCE_LAST = "time_since_last"
    COUNT_DISTINCT = "count_distinct"
    QUANTILE = "quantile"
    DECAYED_SUM = "decayed_sum"
    LAST_N = "last_n"
    TOP_K = "top_k"

    @property
    def makes_lists(self) -> bool:
        """Whether a result is a list of values."""
        return self in (Function.LAST_N, Function.TOP_K)

    @property
    def keeps_values(self) -> bool:
        """Whether a result consists of values as they came, which may then be texts."""
        return self.makes_lists or self in (Function.FIRST, Function.LAST)


class Column(msgspec.Struct, frozen=True):
    """One column of an event's schema."""

    name: str
    dtype: DataType
    required: bool = False
    """A null or missing value makes the event invalid (the timestamp, and `not null` columns)."""


class EventId(msgspec.Struct, frozen=True):
    """What tells an event that was sent twice from two events (see `pipelines.steps.duplicates`)."""

    column: str
    """Tag `event_id`: a text or whole number that no other event of the entity has."""
    window_ms: int
    """Tag `event_id_window`: how much older than the newest event of its entity the first one may be."""


class Source(msgspec.Struct, frozen=True):
    """A Kafka topic as declared by a Feast `KafkaSource`."""

    name: str
    topic: str
    brokers: str
    """`kafka_bootstrap_servers` of the source; settings may override it."""
    format: Literal["json", "avro", "protobuf"]
    columns: tuple[Column, ...]
    timestamp_field: str
    """Column with the event time: whole numbers of `time_unit`, or what the format has for times."""
    key: tuple[str, ...] = ()
    """Columns the topic is keyed by (tag `key`, comma separated); views of other entities are routed."""
    allowed_lateness_ms: int | None = None
    """Tag `allowed_lateness`, else the watermark delay; None: as long as the view's longest window."""
    framing: Literal["none", "confluent"] = "none"
    """Tag `framing`: whether a schema registry's serializer put a schema id before every event."""
    schema: bytes = b""
    """Avro: the record's schema, JSON without what has no meaning. Protobuf: a serialized FileDescriptorSet of
    the message's file and all it imports, each file after its imports. JSON: empty, the columns say it all."""
    message: str = ""
    """Full name of the Protobuf message."""
    ignored: dict[str, str] = {}
    """Fields of the Protobuf message that are no columns, and what they are."""
    allowed_ahead_ms: int = HOUR_MS
    """Tag `allowed_ahead`: how much later than its record an event may say it happened."""
    event_id: EventId | None = None
    """None: every record is an event of its own."""
    time_unit: TimeUnit = "ms"
    """Tag `time_unit`: what a whole number counts since the epoch, in the timestamp field and in JSON's timestamps."""
    old_times: bool = False
    """Tag `old_times`: whether event times before 1971 are meant, and no seconds that were read as milliseconds."""

    @property
    def unit_of_timestamps(self) -> TimeUnit:
        """The unit of whole numbers in columns of type `UNIX_TIMESTAMP`: only JSON leaves it open."""
        return self.time_unit if self.format == "json" else "ms"

    def allowed_lateness_of(self, view: StreamView) -> int:
        """How far behind the watermark an event may come for this view, ms."""
        return view.longest_window_ms if self.allowed_lateness_ms is None else self.allowed_lateness_ms


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
    online: bool = True
    batch_path: str | None = None
    """Absolute path of the view's batch source (Parquet), which `forebay backfill` writes."""
    batch_timestamp_field: str = "event_timestamp"
    event_id: EventId | None = None
    """That of the source."""
    fingerprint: str = ""
    """16 hex digits over everything that changes the meaning of stored state."""

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
        """The column of the batch source that holds a join key, a feature or a time."""
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


class ServiceView(msgspec.Struct, frozen=True):
    """A view as a feature service uses it."""

    view: str
    alias: str
    """Feast's `name_to_use()`; prefix of full feature names `alias__feature`."""
    features: tuple[str, ...]
    """The projected features, in the service's order."""
    join_key_map: dict[str, str] = {}
    """Join key of the view -> field of the request that holds it."""


class FeatureService(msgspec.Struct, frozen=True):
    """The ordered input of a model: the features of its views, one after the other."""

    name: str
    views: tuple[ServiceView, ...]
    """Stream, batch and on-demand views, in the order of the model's input columns."""
    dependencies: tuple[ServiceView, ...] = ()
    """Views read only because an on-demand view needs them; no column of the model's input."""
    request: tuple[Column, ...] = ()
    """Fields the scored event (or the HTTP body) brings beside the join keys."""
    join_keys: tuple[JoinKey, ...] = ()
    """Request fields that name entities, after `join_key_map`."""

    @property
    def field_types(self) -> dict[str, DataType]:
        """All fields of a request, join keys first."""
        keys = {key.name: key.dtype for key in self.join_keys}
        return keys | {column.name: column.dtype for column in self.request}


class Plan(msgspec.Struct, frozen=True):
    """A whole project, checked."""

    format: int
    project: str
    fingerprint: str
    """16 hex digits over the whole plan."""
    redis: str
    """Feast connection string of the online store without its secrets; settings may override it. Empty
    where it names an environment variable that was not set."""
    sources: tuple[Source, ...]
    stream_views: tuple[StreamView, ...]
    batch_views: tuple[BatchView, ...]
    on_demand_views: tuple[OnDemandView, ...]
    services: tuple[FeatureService, ...]
    generation: int = 0
    """Grows with every plan that is made (see `plan_file.next_generation`): of two plans the greater one is newer."""

    def source(self, name: str) -> Source:
        """The source of that name (`KeyError` names the unknown one)."""
        return next_named(self.sources, name, "source")

    def stream_view(self, name: str) -> StreamView:
        """The stream view of that name."""
        return next_named(self.stream_views, name, "stream feature view")

    def service(self, name: str) -> FeatureService:
        """The feature service of that name."""
        return next_named(self.services, name, "feature service")


def next_named(items: tuple[Named, ...], name: str, kind: str) -> Named:
    """The item of that name.

    Raises:
        KeyError: naming the kind, the unknown name and the known ones.
    """
    for item in items:
        if item.name == name:
            return item
    known = ", ".join(sorted(item.name for item in items)) or "none"
    raise KeyError(f"no {kind} named {name!r} in the plan; it has: {known}")
