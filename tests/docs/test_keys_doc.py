"""docs/keys.md names the keys and fields that are in the store."""

from __future__ import annotations

from forebay.pipelines.contract.plan.types import EventId
from forebay.pipelines.contract.store.entity_key import state_fields, timestamp_field
from forebay.pipelines.contract.store.erasure import erasure_key, secret_key
from forebay.pipelines.contract.store.keys import held_key, progress_key, removed_key
from forebay.pipelines.contract.store.lease import leases_key
from forebay.pipelines.contract.store.publication import publication_key
from forebay.pipelines.contract.store.walk_claim import walks_key
from tests.docs.page import table
from tests.oracle import Window
from tests.support.build import HOUR, make_view


def shown(name: str) -> list[str]:
    return [next(iter(row.values())).strip("`") for row in table("keys.md", name)]


def test_the_fields_of_a_row_are_those_of_the_page() -> None:
    view = make_view([Window("count", "", HOUR, HOUR)], name="<view>", event_id=EventId("payment_id", HOUR))
    state = [field.decode().replace(f"@{view.fingerprint[:8]}", "@<definition>") for field in state_fields(view)]
    assert shown("fields") == ['mmh3("view:feature")', timestamp_field("<view>").decode(), *state]


def test_the_other_keys_are_those_of_the_page() -> None:
    erasure = erasure_key("<project>", b"secret", b"entity").decode()
    assert shown("keys") == [
        progress_key("<project>", "<topic>", "<partition>").decode(),
        publication_key("<project>", "<view>").decode(),
        held_key("<project>", "<view>", "<topic>", "<partition>").decode(),
        leases_key("<project>").decode(),
        walks_key("<project>").decode(),
        removed_key("<project>").decode(),
        erasure.replace(erasure.rpartition(":")[2], "<keyed hash of the entity>"),
        secret_key("<project>").decode(),
    ]
