"""What a row costs in the store, by its layout and by its expiry.

Rows and updates are made by the feature processor's own steps and written by its own fenced script; only which bytes
stand in which field differs. Nobody else uses the store. Layouts take turns within every repeat.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from rich.progress import Progress

from benchmarks.layout.report import (
    ExpiryRow,
    HorizonRow,
    LayoutRow,
)
from benchmarks.layout.row_layouts import Layout
from benchmarks.layout.row_updates import RowSet, Update, writes_of
from benchmarks.shared.plans import EIGHT_FUNCTIONS, SLIDE_MS
from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.store_cost import Cost, StoreMeter
from forebay.local.valkey import Valkey
from forebay.pipelines.adapters.online_store import ANYONE, Outcome
from forebay.pipelines.adapters.redis.store import RedisStore

TILES = (1, 12, 24, 288, 1_000)
_TILES_AT_ONCE = 300_000
_MOST_ROWS, _FEWEST_ROWS = 5_000, 200
EXPIRY_WINDOWS = (1, 3)
EXPIRY_TILES = 12
EXPIRE_MS = 3_600_000
HORIZONS_MS = (0, 3_600_000, 24 * 3_600_000)


class Effort(NamedTuple):
    """How much is measured."""

    rounds: int
    """Updates of every row, of each kind, in one repeat."""
    repeats: int


class Bench(NamedTuple):
    """A store, and who watches it."""

    store: RedisStore
    meter: StoreMeter


class Measured(NamedTuple):
    """One repeat of one layout; costs are per row."""

    row_bytes: float
    used_bytes: float
    fill: Cost
    stay: Cost
    close: Cost
    read: Cost


class Shown(enum.StrEnum):
    """What is written where Feast reads."""

    EACH = "each"
    PUBLISHED = "every: published"
    """A row may be named as held back, and is named no more."""
    HELD_BACK = "every: held back"
    """Nothing; the row is named as held back."""
    NEVER = "never"


class Case(NamedTuple):
    """What rows are written, and how."""

    layout: Layout
    tiles: int
    windows: int = 1
    expire_ms: int = EXPIRE_MS
    horizon_ms: int = SLIDE_MS
    """The scoring horizon of the view; one slide: as short as a row that is written once per slide notices."""
    shown: Shown = Shown.EACH


def measure(bench: Bench, case: Case, rounds: int) -> Measured:
    """Fills an empty store with rows, and updates and reads them."""
    bench.meter.empty()
    bench.store.ping()  # connected before anything is measured
    entities = max(_FEWEST_ROWS, min(_MOST_ROWS, _TILES_AT_ONCE // (case.tiles + 1)))
    rows = RowSet(entities, case.tiles, case.windows, case.horizon_ms)
    before = bench.meter.used_bytes()
    fill = _write(bench, case._replace(shown=_shown_first(case)), rows, rows.fill())
    _write(bench, case, rows, rows.stay())  # a value that is set anew may be kept in another way
    row_bytes = bench.meter.row_bytes(rows.keys)
    used_bytes = (bench.meter.used_bytes() - before) / entities
    stay = _rounds(bench, case, rows, rows.stay, rounds)
    close = _rounds(bench, case, rows, rows.close, rounds)
    requests = [(key, case.layout.read) for key in rows.keys]
    read = bench.meter.cost(partial(bench.store.read, requests)).per(entities)
    return Measured(row_bytes, used_bytes, fill, stay, close, read)


def _shown_first(case: Case) -> Shown:
    """Rows that are held back were published before."""
    return Shown.NEVER if case.shown is Shown.NEVER else Shown.EACH


def _rounds(bench: Bench, case: Case, rows: RowSet, update: Callable[[], Update], rounds: int) -> Cost:
    """Median of each cost over the rounds."""
    costs = [_write(bench, case, rows, update()) for _ in range(rounds)]
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def _write(bench: Bench, case: Case, rows: RowSet, update: Update) -> Cost:
    """Cost per row. Packing commands is part of the wall clock's; making rows is not.

    Raises:
        MeasurementError: the store refused some.
    """
    writes = writes_of(case.layout, rows, update)
    if case.shown in (Shown.HELD_BACK, Shown.NEVER):
        writes = [write._replace(values=()) for write in writes]
    names = [] if case.shown is Shown.NEVER else rows.shared_fields
    held = b"" if case.shown in (Shown.EACH, Shown.NEVER) else b"held:"
    outcomes: list[Outcome] = []

    def write() -> None:
        bench.store.send(writes, names, case.expire_ms, ANYONE, held)
        outcomes.extend(bench.store.answers())

    cost = bench.meter.cost(write)
    if refused := sum(outcome is not Outcome.WRITTEN for outcome in outcomes):
        raise MeasurementError(f"the store refused {refused} of {len(writes)} writes")
    return cost.per(len(writes))


def measure_all(effort: Effort, cases: Sequence[Case], display: Progress, task_name: str) -> list[Measured]:
    """Per case, the median of each figure over the repeats; the cases take turns, and another begins every repeat."""
    with Valkey() as server:
        bench = Bench(RedisStore(server.address), StoreMeter(server.address))
        found: dict[Case, list[Measured]] = {case: [] for case in cases}
        task = display.add_task(task_name, total=effort.repeats * len(cases))
        for repeat in range(effort.repeats):
            first = repeat % len(cases)
            for case in (*cases[first:], *cases[:first]):
                found[case].append(measure(bench, case, effort.rounds))
                display.advance(task)
        bench.store.close()
        bench.meter.close()
    return [median_of(found[case]) for case in cases]


def median_of(repeats: Sequence[Measured]) -> Measured:
    """Each figure's median."""

    def costs(name: str) -> Cost:
        return Cost(*map(statistics.median, zip(*(getattr(each, name) for each in repeats), strict=True)))

    return Measured(
        statistics.median(each.row_bytes for each in repeats),
        statistics.median(each.used_bytes for each in repeats),
        *map(costs, ("fill", "stay", "close", "read")),
    )


def layout_row(case: Case, measured: Measured) -> LayoutRow:
    """Makes the row of a layout."""
    read = measured.read
    return LayoutRow(
        case.layout.name, case.tiles, measured.row_bytes, *measured.stay, *measured.close, read.server_us, read.wall_us
    )


def expiry_row(case: Case, measured: Measured) -> ExpiryRow:
    """Makes the row of a case with or without expiry."""
    features = case.windows * len(EIGHT_FUNCTIONS)
    return ExpiryRow(features, case.expire_ms > 0, measured.row_bytes, measured.used_bytes, *measured.stay)


def horizon_row(case: Case, measured: Measured) -> HorizonRow:
    """Makes the row of a scoring horizon."""
    read = measured.read
    return HorizonRow(
        case.horizon_ms, measured.row_bytes, *measured.stay, *measured.close, read.server_us, read.wall_us
    )
