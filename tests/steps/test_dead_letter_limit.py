"""How many dead letters are too many, judged record by record against a plain count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.errors import TooManyDeadLetters
from forebay.pipelines.steps import dead_letter_limit as poison
from forebay.pipelines.steps.dead_letter_limit import Allowance, Attempt, GivenUp, Tally, judged


def attempt(first, bad, partition=0, error="bad bytes"):
    """Records from offset `first` on, of which those are dead letters where `bad` says so."""
    letters = {
        at: GivenUp(Position("payments", partition, first + at), "decode", error) for at, each in enumerate(bad) if each
    }
    return {partition: Attempt(len(bad), letters)}


def stops_at(batches, allowed):
    """The number of the batch that is refused; None if none is."""
    tally, offset = Tally(), 0
    for number, bad in enumerate(batches):
        try:
            tally = judged(tally, attempt(offset, bad), allowed)
        except TooManyDeadLetters:
            return number
        offset += len(bad)
    return None


def counted(batches, in_a_row, share, window):
    """The same, by counting."""
    read, run = [], 0
    for number, bad in enumerate(batches):
        for each in bad:
            read.append(each)
            run = run + 1 if each else 0
            last = read[-window:]
            if (in_a_row and run > in_a_row) or (share and len(last) == window and sum(last) > share * window):
                return number
    return None


@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=12), max_size=12),
    st.integers(0, 6),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_a_batch_is_refused_where_a_count_of_every_record_says_so(batches, in_a_row, share):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poison, "WINDOW_RECORDS", 8)
        found = stops_at(batches, Allowance(in_a_row, share))
    # A window is judged where a dead letter is read; one that fills with a good record is judged at the next.
    wanted = counted(batches, in_a_row, share, 8)
    if found != wanted:
        assert share
        assert wanted is not None
        assert found is None or found > wanted


def test_without_limits_nothing_is_refused():
    assert stops_at([[True] * 30_000], Allowance(0, 0.0)) is None


def test_the_error_names_what_where_and_the_repair():
    with pytest.raises(TooManyDeadLetters) as caught:
        judged(judged(Tally(), attempt(5, [False, True]), Allowance(2)), attempt(7, [True, True]), Allowance(2))
    text = str(caught.value)
    for part in ("3 records in a row", "payments[0]@6 to payments[0]@8", "'decode'", "bad bytes", "--max-dead-letters"):
        assert part in text


def test_partitions_have_runs_of_their_own():
    tally = judged(Tally(), attempt(0, [True, True]) | attempt(0, [True, True], partition=1), Allowance(2))
    assert {partition: run.length for partition, run in tally.runs.items()} == {0: 2, 1: 2}


def test_a_batch_that_is_not_kept_is_not_counted():
    tally = judged(Tally(), attempt(0, [True]), Allowance(2))
    for _ in range(5):
        judged(tally, attempt(1, [True]), Allowance(2))
    with pytest.raises(TooManyDeadLetters):
        judged(tally, attempt(1, [True, True]), Allowance(2))
