"""Lateness is judged by the highest event time seen before, whatever the batches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipelines.contract.store.progress import NOTHING_YET
from forebay.pipelines.steps.lateness import too_late, watermarks


def test_an_event_is_judged_by_those_before_it():
    """An event never makes itself late, and the last mark is that after all of them."""
    times = np.array([10, 30, 20, 40])
    assert watermarks(times, NOTHING_YET).tolist() == [-1, 10, 30, 30, 40]


def test_exactly_the_allowed_lateness_is_not_too_late():
    marks = watermarks(np.array([100, 90, 89]), NOTHING_YET)
    assert too_late(np.array([100, 90, 89]), marks[:-1], 10).tolist() == [False, False, True]


def test_the_first_event_is_never_late():
    assert not too_late(np.array([0]), watermarks(np.array([0]), NOTHING_YET)[:-1], 0).any()


@given(times=st.lists(st.integers(0, 100), max_size=30), cut=st.integers(0, 30), allowed=st.integers(0, 50))
def test_a_cut_between_batches_changes_nobodys_lateness(times, cut, allowed):
    """The watermark is handed on from batch to batch, as progress is."""

    def late(values, before):
        values = np.array(values, dtype=np.int64)
        marks = watermarks(values, before)
        return too_late(values, marks[:-1], allowed).tolist(), int(marks[-1])

    first, mark = late(times[:cut], NOTHING_YET)
    second, end = late(times[cut:], mark)
    assert (first + second, end) == late(times, NOTHING_YET)
