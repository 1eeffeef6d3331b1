"""How many dead letters are too many: a process that gives up nearly all records is misled, not unlucky."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.errors import TooManyDeadLetters

WINDOW_RECORDS = 10_000
"""The share is judged over so many records, the last ones, and not before as many have been seen."""


class Allowance(NamedTuple):
    """How many dead letters a process bears."""

    in_a_row: int = 1_000
    """Of one partition, one after another; 0: no limit."""
    share: float = 0.5
    """Of the last `WINDOW_RECORDS`; 0: no limit."""


class GivenUp(NamedTuple):
    """A record that becomes a dead letter."""

    position: Position
    reason: str
    error: str


class Attempt(NamedTuple):
    """The dead letters and other records of one partition in a batch."""

    records: int
    """All of them."""
    given_up: Mapping[int, GivenUp]
    """By place in the batch, from 0."""


class Run(NamedTuple):
    """Dead letters of one partition, one after another."""

    length: int
    first: Position


class Tally(NamedTuple):
    """Counts of all records so far. Immutable: a batch that is not committed leaves no trace."""

    records: int = 0
    window: tuple[tuple[int, GivenUp], ...] = ()
    """The dead letters among the last records, each with its number in the order of reading, from 1."""
    runs: Mapping[int, Run] = {}
    """By partition whose last record is a dead letter."""


def judged(tally: Tally, batch: Mapping[int, Attempt], allowed: Allowance) -> Tally:
    """Returns the tally after a batch, which the caller keeps once the batch is committed. The work grows with dead
    letters, not with records.

    Args:
        batch: by partition.

    Raises:
        TooManyDeadLetters: more than is allowed, at any record of the batch.
    """
    records, window, runs = tally.records, deque(tally.window), dict(tally.runs)
    for partition, attempt in batch.items():
        run, after = runs.pop(partition, None), 0
        for index in sorted(attempt.given_up):
            given_up = attempt.given_up[index]
            goes_on = run is not None and index == after
            run = Run(run.length + 1, run.first) if run and goes_on else Run(1, given_up.position)
            after = index + 1
            window.append((records + after, given_up))
            _forget(window, records + after)
            _check(run, window, records + after, allowed)
        if run and after == attempt.records:
            runs[partition] = run
        records += attempt.records
    _forget(window, records)
    return Tally(records, tuple(window), runs)


def _forget(window: deque[tuple[int, GivenUp]], number: int) -> None:
    """Drops what is not among the last records when so many have been read."""
    while window and window[0][0] <= number - WINDOW_RECORDS:
        window.popleft()


def _check(run: Run, window: deque[tuple[int, GivenUp]], number: int, allowed: Allowance) -> None:
    many, last = len(window), window[-1][1].position
    if allowed.in_a_row and run.length > allowed.in_a_row:
        here = [each for _, each in window if each.position.partition == last.partition][-run.length :]
        raise _too_many(here, run.first, f"{run.length} records in a row", "--max-dead-letters")
    if allowed.share and number >= WINDOW_RECORDS and many > allowed.share * WINDOW_RECORDS:
        what = f"{many} of the last {WINDOW_RECORDS} records"
        raise _too_many([each for _, each in window], window[0][1].position, what, "--max-dead-letter-share")


def _too_many(given_up: Sequence[GivenUp], first: Position, what: str, option: str) -> TooManyDeadLetters:
    reason, times = Counter(each.reason for each in given_up).most_common(1)[0]
    error = next(each.error for each in given_up if each.reason == reason)
    return TooManyDeadLetters(
        f"{what} can't be used, from {first} to {given_up[-1].position}; most often ({times} times) for reason "
        f"{reason!r}, as in: {error}; nothing of the present batch is committed, and `forebay dlq list` shows earlier "
        f"ones: mend the producer, the schema, the function or the model, or allow more with {option} (0: no limit)"
    )
