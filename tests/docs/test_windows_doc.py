"""docs/windows.md: the tables are what its rule says, and what the engine answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.docs.page import table
from tests.oracle import Event, Window
from tests.support.build import MINUTE, Folded, make_view

LENGTH_MS, SLIDE_MS = 10 * MINUTE, 5 * MINUTE
VIEW = make_view(
    [
        Window("sum", "amount", LENGTH_MS, SLIDE_MS),
        Window("count", "", LENGTH_MS, SLIDE_MS),
        Window("mean", "amount", LENGTH_MS, SLIDE_MS),
    ]
)


def ms(clock: str) -> int:
    """Of a time on 2026-03-08, UTC."""
    hours, minutes, seconds = clock.split(":")
    day = datetime(2026, 3, 8, tzinfo=UTC)
    return round((day + timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))).timestamp() * 1_000)


def number(text: str) -> float | None:
    return None if text == "null" else float(text)


EVENTS = {each["event"]: each for each in table("windows.md", "events")}
ANSWERS = table("windows.md", "windows")


@pytest.mark.parametrize("shown", ANSWERS, ids=lambda shown: shown["as of t"])
def test_a_window_holds_what_the_rule_says(shown: dict[str, str]) -> None:
    t = ms(shown["as of t"])
    start, end = t // SLIDE_MS * SLIDE_MS - LENGTH_MS + SLIDE_MS, t // SLIDE_MS * SLIDE_MS + SLIDE_MS
    assert (ms(shown["from"]), ms(shown["until"])) == (start, end)
    held = [name for name, event in EVENTS.items() if start <= ms(event["time"]) < end]
    assert shown["holds"] == (" ".join(held) or "none")
    amounts = [amount for name in held if (amount := number(EVENTS[name]["amount"])) is not None]
    mean = sum(amounts) / len(amounts) if amounts else None
    assert [number(shown[each]) for each in ("sum", 'count("*")', "mean")] == [sum(amounts), len(held), mean]


@pytest.mark.parametrize("shown", ANSWERS, ids=lambda shown: shown["as of t"])
def test_the_engine_answers_so(shown: dict[str, str]) -> None:
    events = [Event("card", ms(each["time"]), {"amount": number(each["amount"])}) for each in EVENTS.values()]
    [found] = Folded(VIEW).add(events, 0).values(["card"], [ms(shown["as of t"])])
    assert [None if value != value else value for value in found] == [
        number(shown[each]) for each in ("sum", 'count("*")', "mean")
    ]
