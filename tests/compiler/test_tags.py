"""Tags: a misspelt or misplaced one is refused with the repair, the user's own are left alone."""

import pytest
from feast import Entity, FeatureService, Field, RequestSource, ValueType
from feast.types import Float64

from forebay.pipelines.contract.plan.tags import TAGS, Place, misplaced
from forebay.pipelines.errors import PlanError
from tests.compiler.definitions import batch, compiled, file_source, kafka, on_demand, stream
from tests.support.payments import ROOT


def feature(tags):
    return [Field(name="total", dtype=Float64, tags=tags)]


MISSPELT = {
    "source": (
        lambda: kafka(tags={"allowed_latenes": "2h"}),
        "Kafka source 'payments': tag 'allowed_latenes' .* write",
    ),
    "dashes": (lambda: kafka(tags={"event-id": "note"}), "tag 'event-id' is unknown; write 'event_id'"),
    "capital": (lambda: kafka(tags={"Key": "card"}), "tag 'Key' is unknown; write 'key'"),
    "view": (lambda: stream(tags={"scoring_horizont": "2h"}), "'spend': tag 'scoring_horizont' .* 'scoring_horizon'"),
    "field": (lambda: stream(schema=feature({"missng": "refuse"})), "field 'total': tag 'missng' .* write 'missing'"),
    "batch field": (
        lambda: batch(schema=[Field(name="age", dtype=Float64, tags={"stal": "refuse"})]),
        "feature view 'profile': field 'age': tag 'stal' is unknown; write 'stale'",
    ),
}
MISPLACED = {
    "of a view at a source": (
        lambda: kafka(tags={"scoring_horizon": "2h"}),
        "Kafka source 'payments': tag 'scoring_horizon' has no effect there; put it on a StreamFeatureView",
    ),
    "of a source at a view": (
        lambda: stream(tags={"allowed_lateness": "2h"}),
        "view 'spend': tag 'allowed_lateness' has no effect there; put it on a KafkaSource",
    ),
    "of a field at a view": (lambda: stream(tags={"missing": "refuse"}), "put it on a Field that is a feature"),
    "batch view": (lambda: batch(tags={"resolution": "1m"}), "feature view 'profile': tag 'resolution' has no effect"),
    "batch source": (
        lambda: batch(source=file_source(tags={"key": "card"})),
        "batch source 'rows': tag 'key' has no effect there; put it on a KafkaSource",
    ),
    "entity": (
        lambda: Entity(name="who", value_type=ValueType.STRING, tags={"key": "who"}),
        "entity 'who': tag 'key' has no effect there",
    ),
    "service": (
        lambda: (stream(), FeatureService(name="model", features=[stream()], tags={"incomplete": "null"})),
        "feature service 'model': tag 'incomplete' has no effect there",
    ),
    "request": (
        lambda: (
            stream(),
            on_demand(
                sources=[RequestSource(name="r", schema=[Field(name="a", dtype=Float64, tags={"missing": "null"})])]
            ),
        ),
        "request source 'r': field 'a': tag 'missing' has no effect there",
    ),
}


@pytest.mark.parametrize(("make", "message"), (MISSPELT | MISPLACED).values(), ids=(MISSPELT | MISPLACED).keys())
def test_refuses(make, message):
    made = make()
    with pytest.raises(PlanError, match=message):
        compiled(*(made if isinstance(made, tuple) else (made,)))


OWN = {"owner": "risk", "team": "fraud", "tier": "1", "pii": "no", "stage": "prod", "source": "erp", "domain": "shop"}


def test_the_users_own_tags_are_left_alone():
    source = kafka(tags={"key": "card", **OWN})
    view = stream(source=source, tags=OWN, schema=feature(OWN))
    service = FeatureService(name="model", features=[view], tags=OWN)
    assert compiled(source, view, batch(tags=OWN), Entity(name="who", value_type=ValueType.STRING, tags=OWN), service)


@pytest.mark.parametrize("place", [*Place, None])
def test_a_tag_may_stand_in_its_place_and_in_no_other(place):
    for tag in TAGS:
        assert (misplaced([tag.name], place) is None) is (tag.place == place)


def test_every_tag_is_in_the_reference():
    text = (ROOT / "docs" / "reference.md").read_text()
    assert [tag.name for tag in TAGS if f"| `{tag.name}` | " not in text] == []
