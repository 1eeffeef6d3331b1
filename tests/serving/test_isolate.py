"""A batch in which some items fail: every other one is evaluated, in a bounded number of runs."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipelines.errors import StoreRefused, StoreUnavailable
from forebay.serving.features.isolate import isolate


def runs_of(bad):
    """How many runs a batch takes whose items fail where `bad` says so; every outcome is checked."""
    runs = []

    def run(items):
        runs.append(items)
        for item in items:
            if bad[item]:
                raise ValueError(f"item {item}")
        return [item * 10 for item in items]

    outcomes = isolate(range(len(bad)), run, lambda item, error: (item, str(error)))
    assert outcomes == [(at, f"item {at}") if each else at * 10 for at, each in enumerate(bad)]
    return len(runs)


def test_where_all_fail_each_is_run_alone_once():
    assert runs_of([True] * 500) <= 510


def test_one_among_many_is_found_in_a_few_runs():
    assert max(runs_of([at == guilty for at in range(500)]) for guilty in range(500)) <= 4 * log2(500)


def test_where_every_second_one_fails_hardly_more_runs_are_made_than_there_are_items():
    assert runs_of([at % 2 == 0 for at in range(500)]) <= 510


def test_a_batch_without_faults_is_one_run():
    assert runs_of([False] * 500) == 1
    assert runs_of([]) == 0


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_no_pattern_takes_more_runs_than_the_bound(bad):
    assert runs_of(bad) <= 1.5 * len(bad) + log2(len(bad)) + 1


@pytest.mark.parametrize("kind", [StoreUnavailable, StoreRefused])
def test_a_store_that_fails_blames_no_item(kind):
    def run(_items):
        raise kind("no answer")

    with pytest.raises(kind):
        isolate([1, 2], run, lambda item, _error: item)
