"""An event that is no later than the tag allows counts, however short the windows are."""

from datetime import timedelta

import pytest
from feast import FeatureService

from forebay.time_travel import TimeTravel
from tests.compiler.definitions import compiled, kafka, stream, total
from tests.support.build import HOUR, MINUTE, START_MS

NEWEST_MS = START_MS + 5 * HOUR
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def travel():
    source = kafka(tags={"key": "card", "allowed_lateness": "2h"})
    view = stream(source=source, aggregations=[total(time_window=TEN_MINUTES, slide_interval=timedelta(minutes=1))])
    travel = TimeTravel(compiled(source, view, FeatureService(name="model", features=[view])), partitions=1)
    travel.feed("payments", {"at": NEWEST_MS, "card": "a", "amount": 1.0})
    return travel


@pytest.mark.parametrize("late_ms", [10 * MINUTE + 1_000, 90 * MINUTE, 2 * HOUR])
def test_an_event_within_the_lateness_is_in_the_windows_of_its_time(travel, late_ms):
    travel.feed("payments", {"at": NEWEST_MS - late_ms, "card": "a", "amount": 2.0})
    assert travel.refused == []
    as_of_ms = max(NEWEST_MS - late_ms, NEWEST_MS - 111 * MINUTE)
    assert travel.features("model", as_of_ms, card="a") == {"spend__total": 2.0}
    assert travel.features("model", NEWEST_MS, card="a") == {"spend__total": 1.0}


def test_an_event_beyond_the_lateness_is_late(travel):
    travel.feed("payments", {"at": NEWEST_MS - 2 * HOUR - 1, "card": "a", "amount": 2.0})
    assert [each.topic for each in travel.refused] == ["payments.late"]
