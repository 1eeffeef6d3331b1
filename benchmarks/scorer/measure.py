"""Times of one build, in a process of its own: `python -m benchmarks.scorer.measure FOLDER SECONDS`.

Uses nothing of Forebay but what a build before has too. Prints, as JSON, one `Times` per case.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.endpoint.world import CARDS, plan, write_model, write_rows
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.serving.features.request import ScoringRequest
from forebay.serving.features.rows import StreamRows
from forebay.serving.models.model import load_model
from forebay.serving.scoring import scorer as scoring

SIZES = (1, 8, 32, 100)
"""Requests scored at once."""
_NOW_MS = 1_764_244_800_000
_DIFFERENT = 64
"""Batches made before; then the same again."""
_WARM_UP = 20
_SCORER: Any = getattr(scoring, "RequestScorer", None) or vars(scoring)["Scorer"]
"""The scorer of the engine that is measured. In earlier builds its class has another name."""


class Times(msgspec.Struct, frozen=True):
    """Of one stage on so many requests."""

    stage: str
    requests: int
    times_us: list[float]
    """Processor time per call: what others on the machine do does not count."""


def measured(folder: Path, seconds: float) -> list[Times]:
    """Every stage and size.

    Args:
        seconds: of one case.
    """
    store = MemoryStore()
    write_rows(store, _NOW_MS)
    made = plan()
    scorer = _SCORER.of(made, [load_model(write_model(folder))], _Rows(store.hashes))
    rows = StreamRows(made, made.stream_views[0])
    keys = [key for key, fields in store.hashes.items() if rows.fields[0] in fields]
    rng = np.random.default_rng(1)
    found = []
    for size in SIZES:
        cards = rng.integers(0, CARDS, (_DIFFERENT, size)).tolist()
        requests = [[ScoringRequest({"card_id": card}, _NOW_MS) for card in batch] for batch in cards]
        cells = [store.read([(keys[card], rows.fields) for card in batch]) for batch in cards]
        stages: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
            "rows to values": (partial(_values, rows), cells),
            "features": (scorer.assembler.assemble, requests),
            "features and scores": (scorer.score, requests),
        }
        found += [Times(name, size, _times_us(*stage, seconds)) for name, stage in stages.items()]
    return found


class _Rows:
    """Reads rows without the work of `MemoryStore`, which looks for expired fields."""

    def __init__(self, hashes: Mapping[bytes, Mapping[bytes, bytes]]) -> None:
        self._hashes = hashes

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """Reads the fields of some keys."""
        return [[self._hashes.get(key, {}).get(field) for field in fields] for key, fields in requests]


def _values(rows: StreamRows, cells: Any) -> Any:
    return rows.evaluate(cells, np.full(len(cells), _NOW_MS, dtype=np.int64), None)


def _times_us(call: Callable[[Any], Any], batches: list[Any], seconds: float) -> list[float]:
    for batch in batches[:_WARM_UP]:
        call(batch)
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for batch in batches:
            started = time.thread_time_ns()
            call(batch)
            times.append((time.thread_time_ns() - started) / 1e3)
    return times


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(measured(Path(sys.argv[1]), float(sys.argv[2]))).decode())
