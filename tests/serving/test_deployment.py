"""A deployment table says which versions answer, and for which entities; what contradicts itself is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.errors import ModelError
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.table import BUCKETS, FILE, Share, Table
from forebay.serving.scoring.assignment import Assignment, bucket

CARDS = (JoinKey("card", DataType.INT64),)
ENTITIES: list[dict[str, Any]] = [{"card": card} for card in range(4_000)]


def deployment(*shares: Share) -> Deployment:
    return Deployment(Path("models"), "fraud", "fraud/3", Table(generation=1, live="fraud/3", shares=shares))


def answering(*shares: Share) -> list[str]:
    """What answers each entity."""
    return Assignment(deployment(*shares), CARDS)(ENTITIES)


class TestAssignment:
    @pytest.mark.parametrize("ends", [(0.0, 5.0), (95.0, 100.0), (33.33, 66.67)])
    def test_a_share_is_a_range_of_hashes_and_everyone_else_is_live(self, ends: tuple[float, float]) -> None:
        start, end = ends
        found = answering(Share("fraud/4", start, end))
        for fields, model in zip(ENTITIES, found, strict=True):
            at = bucket("fraud", [fields["card"]])
            assert model == ("fraud/4" if round(start * 100) <= at < round(end * 100) else "fraud/3")
        assert 0 < found.count("fraud/4") < len(ENTITIES)

    def test_every_bucket_has_entities_of_its_own(self) -> None:
        """As many in each hundredth as chance allows: 4,000 of 400,000 entities, give or take six deviations."""
        counts = [0] * 100
        for card in range(400_000):
            counts[bucket("fraud", [card]) * 100 // BUCKETS] += 1
        assert all(abs(count - 4_000) < 6 * 63 for count in counts)

    def test_an_entity_stays_in_a_share_that_grows(self) -> None:
        small, large = answering(Share("fraud/4", 0, 5)), answering(Share("fraud/4", 0, 10))
        kept = [after for before, after in zip(small, large, strict=True) if before == "fraud/4"]
        assert set(kept) == {"fraud/4"}
        assert large.count("fraud/4") > len(kept)

    def test_a_share_that_changes_moves_nobody_else(self) -> None:
        b = Share("fraud/5", 50, 60)
        before, after = answering(Share("fraud/4", 0, 5), b), answering(Share("fraud/4", 0, 40), b)
        assert [each == "fraud/5" for each in before] == [each == "fraud/5" for each in after]

    def test_two_deployments_divide_the_same_entities_independently(self) -> None:
        one = {card for card in range(4_000) if bucket("fraud", [card]) < BUCKETS // 2}
        other = {card for card in range(4_000) if bucket("churn", [card]) < BUCKETS // 2}
        assert 800 < len(one & other) < 1_200

    def test_a_float_key_that_is_written_as_a_whole_number_is_the_same_entity(self) -> None:
        """JSON of a request may say 7 where the event says 7.0."""
        assign = Assignment(deployment(Share("fraud/4", 0, 50)), (JoinKey("x", DataType.FLOAT64),))
        for value in range(50):
            assert assign([{"x": value}]) == assign([{"x": float(value)}])

    def test_an_entity_without_a_key_has_its_place_too(self) -> None:
        assert Assignment(deployment(Share("fraud/4", 0, 100)), CARDS)([{"card": None}, {}]) == ["fraud/4"] * 2


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for version in ("fraud/3", "fraud/4", "other/1"):
        (tmp_path / version).mkdir(parents=True)
    return Catalog(tmp_path / "fraud")


OVERLAPPING = """
generation: 1
live: fraud/3
shares:
- {model: fraud/4, from: 0, to: 60}
- {model: other/1, from: 50, to: 70}
"""


class TestFile:
    def test_what_it_says(self, catalog: Catalog) -> None:
        catalog.table_file.write_text(
            "generation: 7\nlive: fraud/3\nshares:\n- {model: fraud/4, from: 0, to: 2.5}\nshadows: [other/1]\n"
        )
        (found,) = catalog.deployments()
        assert (found.generation, found.live, found.shadows) == (7, "fraud/3", ("other/1",))
        assert found.shares == (Share("fraud/4", 0, 2.5),)
        assert found.versions == [catalog.folder.parent / each for each in ("fraud/3", "fraud/4", "other/1")]

    def test_newest_is_each_version_in_turn_with_the_generation_of_the_table(self, catalog: Catalog) -> None:
        catalog.table_file.write_text("generation: 7\nlive: newest\n")
        assert [(each.live, each.generation) for each in catalog.deployments()] == [("fraud/4", 7), ("fraud/3", 7)]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("live: fraud/3", "missing required field `generation`"),
            ("generation: 0\nlive: fraud/3", r"Expected `int` >= 1 - at `\$.generation`"),
            ("generation: 1\nlive: fraud/9", r"\$.live is 'fraud/9', which model fraud does not have: it has 4, 3"),
            ("generation: 1\nlive: '3'", r"\$.live is '3': give model and version, as in 'fraud/3'"),
            ("generation: 1\nlive: fraud/3\nshadow: [fraud/4]", "unknown field `shadow`; did you mean `shadows`?"),
            (
                "generation: 1\nlive: fraud/3\nshares: [{modle: fraud/4, from: 0, to: 1}]",
                r"unknown field `modle` - at `\$.shares\[\d\]`; did you mean `model`\?",
            ),
            (
                "generation: 1\nlive: fraud/3\nshadows: [fraud/3]",
                r"\$.shadows\[0\] is 'fraud/3', as .*\$.live is: a version stands in a table once",
            ),
            (
                OVERLAPPING,
                r"\$.shares\[1\].from is 50, and \$.shares\[0\] goes to 60 %: shares must not overlap",
            ),
            (
                "generation: 1\nlive: fraud/3\nshares: [{model: fraud/4, from: 0, to: 101}]",
                r"Expected `float` <= 100.0 - at `\$.shares\[\d\].to`",
            ),
            (
                "generation: 1\nlive: fraud/3\nshares: [{model: fraud/4, from: 5, to: 5}]",
                r"\$.shares\[0\] goes from 5 to 5",
            ),
            (
                "generation: 1\nlive: fraud/3\nshares: [{model: fraud/4, from: 0, to: 0.001}]",
                r"to is 0.001: give percents to",
            ),
            (
                "generation: 1\nlive: newest\nshadows: [fraud/4]",
                r"\$.live is 'newest', beside which nothing else scores",
            ),
            ("generation: 1\ngeneration: 2\nlive: fraud/3", "'generation' stands twice"),
        ],
        ids=range(13),
    )
    def test_what_can_not_be_is_named_with_file_field_and_repair(
        self, catalog: Catalog, content: str, message: str
    ) -> None:
        catalog.table_file.write_text(content)
        with pytest.raises(ModelError, match=message) as raised:
            catalog.deployments()
        assert FILE in str(raised.value)
