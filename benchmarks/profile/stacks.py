"""py-spy's samples, summed up by function and by step of the walk.

A sample is one thread's stack, outermost frame first: `frame;frame;frame count`, a frame being `function (file:line)`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.shared.rate import MeasurementError

STEPS = {
    "decode, validate": ("Partition._decode",),
    "aggregate: read stored rows' bytes": ("RowCodec.unpack", "RowCodec.header"),
    "aggregate: fold events into tiles": ("ViewAggregator.__call__", "fold", "retain"),
    "aggregate: evaluate windows": ("WindowEvaluator.__call__",),
    "aggregate: pack rows": ("RowCodec.pack",),
    "entities and their keys": ("distinct_entities", "EntityKeyEncoder.__call__"),
    "encode: Feast's values and commands": (
        "RowEncoder.writes",
        "RowEncoder._cells",
        "RedisStore._calls",
        "encode_columns",
    ),
    "read missing rows": ("ViewRows.load",),
    "write rows: send, wait for the store": ("RedisStore.send", "RedisStore.answers"),
    "cache rows": ("RowCache.put", "RowCache.get", "RowCache.drop", "_pack_row", "_unpack_row", "_size_bytes"),
    "progress": ("ProgressLedger.advanced", "RedisStore.write_hashes"),
    "batch, the rest": ("TopicBatches.process",),
}
"""Step -> functions that it is. The innermost one of a stack names its step."""

OUTSIDE = "fetch, Faust, asyncio"
"""Whatever runs outside of a batch."""

_STEP_OF = {function: step for step, functions in STEPS.items() for function in functions}
_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>.*?)(?::\d+)?\)$")
_WAITING = frozenset(
    {
        ("EpollSelector.select", "selectors.py"),
        ("KqueueSelector.select", "selectors.py"),
        ("_worker", "concurrent/futures/thread.py"),
        ("Condition.wait", "threading.py"),
        ("wait", "threading.py"),
        ("Watchdog._run", "forebay/pipelines/process/watchdog.py"),
    }
)
"""Where a thread has nothing to do."""


class Frame(NamedTuple):
    """One frame."""

    function: str
    """With its class."""
    file: str


class Place(NamedTuple):
    """Where own time is spent."""

    step: str
    function: str
    """With its file."""


def places(lines: Iterable[str]) -> Counter[Place]:
    """Samples by place; threads that have nothing to do are left out.

    Raises:
        MeasurementError: nothing is left.
    """
    counts: Counter[Place] = Counter()
    for frames, count in _stacks(lines):
        leaf = frames[-1]
        step = _step(frames)
        if step == OUTSIDE and (leaf.function, leaf.file) in _WAITING:
            continue
        counts[Place(step, f"{leaf.function} ({leaf.file})")] += count
    if not counts:
        raise MeasurementError("the profiler saw nothing: give more events (--events)")
    return counts


def _stacks(lines: Iterable[str]) -> Iterator[tuple[list[Frame], int]]:
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        if stack:
            yield [_frame(frame) for frame in stack.split(";")], int(count)


def _frame(text: str) -> Frame:
    found = _FRAME.match(text)
    return Frame(found["function"], found["file"]) if found else Frame(text, "")


def _step(frames: Sequence[Frame]) -> str:
    return next((_STEP_OF[frame.function] for frame in reversed(frames) if frame.function in _STEP_OF), OUTSIDE)
