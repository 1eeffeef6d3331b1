"""docs/models.md shows a prediction as the worker writes it."""

from __future__ import annotations

import json

from tests.docs.page import example
from tests.serving.test_event_scorer import Message, asked, barrier, memory, score, scorer, store

__all__ = ["barrier", "memory", "score", "scorer", "store"]
"""Fixtures: a worker without Kafka, over a store that holds the payments of two cards."""

VARY = {"model_hash": "...", "timings_ms": {"waited": 0.0, "read": 0.4, "on_demand": 0.1, "model": 0.1}}
"""What differs from run to run."""


def test_the_prediction_that_is_shown_is_what_the_worker_writes(score) -> None:
    [record] = score([Message(7, asked("a", 120.0))])
    written = json.loads(record.value)
    assert written["timings_ms"].keys() == VARY["timings_ms"].keys()
    assert {**written, **VARY} == json.loads(example("models.md", "prediction"))
