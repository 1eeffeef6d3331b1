"""Fingerprints: they change with what a state means, and with nothing else."""

import pytest
from feast.data_format import JsonFormat

from tests.compiler.definitions import HOUR, SCHEMA, compiled, kafka, stream, total, view_of


def keeps(events):
    return events


class TestFingerprint:
    same = pytest.mark.parametrize(
        "changes",
        [{"ttl": HOUR}, {"tags": {"team": "risk"}}, {"description": "spend"}, {"online": False}],
        ids=lambda changes: next(iter(changes)),
    )
    other = pytest.mark.parametrize(
        "changes",
        [
            {"aggregations": [total(function="max")]},
            {"aggregations": [total(time_window=2 * HOUR)]},
            {"source": kafka(topic="other")},
            {"source": kafka(tags={})},
            {"source": kafka(tags={"key": "card", "event_id": "note"})},
            {"source": kafka(message_format=JsonFormat(SCHEMA.replace("amount double", "amount float")))},
            {"udf": keeps},
        ],
        ids=["function", "window", "topic", "key", "event id", "schema", "udf"],
    )

    @same
    def test_of_the_state_survives(self, changes):
        assert view_of(**changes).fingerprint == view_of().fingerprint

    @other
    def test_of_the_state_changes_with(self, changes):
        assert view_of(**changes).fingerprint != view_of().fingerprint

    @same
    def test_of_the_plan_changes_with_what_it_holds(self, changes):
        held = "ttl" in changes or "online" in changes
        assert (compiled(stream(**changes)).fingerprint != compiled(stream()).fingerprint) == held

    def test_does_not_depend_on_decorators_and_comments_but_on_captured_values(self):
        def made(text, limit):
            def large(events):
                return events[events["amount"] > limit]

            view = stream(udf=large)
            view.udf_string = text
            return compiled(view).stream_views[0].fingerprint

        plain = made("def large(events):\n    return events[events['amount'] > limit]", 1)
        assert (
            made('@view(ttl=5)\ndef large(events):\n    # big\n    return events[events["amount"] > limit]', 1) == plain
        )
        assert made("def large(events):\n    return events[events['amount'] > limit]", 2) != plain
