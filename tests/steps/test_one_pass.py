"""All windows of a view are evaluated in one pass, whose calls do not grow with features, and entities do not mix."""

import random
import sys

import numpy as np

from forebay.pipelines.steps.tile_state.row_codec import ABSENT
from tests.oracle import Event, Window
from tests.support.build import HOUR, MINUTE, ONE_NUMBER, START_MS, Folded, expected, make_view, same

FUNCTIONS = ("count", "sum", "mean", "min", "max", "std", "first", "last")
A_FEW = 10
"""Calls that depend on the values: whether some result is null."""
PLAIN = [each for each in ONE_NUMBER if each.function not in ("count_distinct", "p1", "p50", "p99")]


def folded_of(view, entities, count, seed=1):
    rng = random.Random(seed)
    events = [
        Event(
            rng.choice(entities),
            START_MS + rng.randint(0, 2 * HOUR),
            {"amount": rng.choice([None, 0.0, -0.0, 0.1, rng.uniform(-1e6, 1e6)]), "items": float(rng.randint(-9, 9))},
        )
        for _ in range(count)
    ]
    return Folded(view).add(events, 0), events


def calls_of(work):
    """How many functions, of Python and of libraries, are called."""
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def evaluation_calls(windows, entities):
    names = [f"e{at}" for at in range(entities)]
    folded, _ = folded_of(make_view(windows), names, 300)
    rows = [folded.rows.get(each, ABSENT) for each in names]
    tiles = folded.aggregate.codec.unpack(rows, [folded.aggregate.codec.header(row) for row in rows])
    as_of_ms = np.full(entities, START_MS + 2 * HOUR)
    return calls_of(lambda: folded.aggregate.evaluate(tiles, as_of_ms))


def test_the_calls_of_an_evaluation_grow_neither_with_features_nor_with_entities():
    def windows(count):
        return [Window(each, "amount", (at + 1) * 5 * MINUTE, MINUTE) for at in range(count) for each in FUNCTIONS]

    one = evaluation_calls(windows(1), 1)
    assert evaluation_calls(windows(6), 1) <= one + A_FEW
    assert evaluation_calls(windows(6), 100) <= one + A_FEW


def test_entities_evaluated_together_have_the_values_that_each_has_alone():
    """More of them than are evaluated at once; some have no row."""
    names = [f"e{at}" for at in range(600)]
    view = make_view(PLAIN)
    folded, events = folded_of(view, names[:400], 900)
    as_of_ms = [START_MS + (at * 7 * MINUTE) % (3 * HOUR) for at in range(len(names))]
    together = folded.values(names, as_of_ms)
    for at in (0, 1, 255, 256, 257, 399, 511, 512, 599):
        same(folded.values(names[at : at + 1], as_of_ms[at : at + 1])[0], together[at])
    horizon_ms = view.scoring_horizon_ms
    for at in range(0, 400, 40):
        own = [event for event in events if event.entity == names[at]]
        if own and as_of_ms[at] >= max(event.event_ms for event in own) - horizon_ms:
            same(together[at], expected(view, own, as_of_ms[at]))
