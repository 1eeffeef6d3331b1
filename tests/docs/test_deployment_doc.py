"""docs/deployment.md: the table, and the fields of an unscored record, as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec

from forebay.pipelines.contract.kafka.unscored import Reason, Unscored
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.table import Share, Table
from tests.docs.page import example, table


def test_the_table_on_the_page_can_be_used(tmp_path: Path) -> None:
    for reference in ("fraud/3", "fraud/4", "fraud/5", "fraud_net/1"):
        (tmp_path / reference).mkdir(parents=True)
    catalog = Catalog(tmp_path / "fraud")
    catalog.table_file.write_text(example("deployment.md", "table"))
    (found,) = catalog.deployments()
    assert (found.generation, found.answering, found.shadows) == (8, ("fraud/3", "fraud/4"), ("fraud/5", "fraud_net/1"))


def test_every_field_of_a_table_is_documented_and_none_is_invented() -> None:
    rows = table("deployment.md", "table fields")
    assert {row["field"].strip("`") for row in rows} == set(Table.__struct_fields__)
    shares = next(row["what"] for row in rows if row["field"] == "`shares`")
    assert re.findall(r"`(\w+)`", shares) == [each.encode_name for each in msgspec.structs.fields(Share)]


def test_every_field_and_reason_of_an_unscored_record_is_documented_and_none_is_invented() -> None:
    fields = [
        name for row in table("deployment.md", "unscored fields") for name in re.findall(r"`(\w+)`", row["field"])
    ]
    assert sorted(fields) == sorted(Unscored.__struct_fields__)
    assert [row["reason"].strip("`") for row in table("deployment.md", "unscored")] == list(get_args(Reason))
