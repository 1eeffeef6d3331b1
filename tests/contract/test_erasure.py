"""Which erasures concern a row, and which of its events they cover."""

from __future__ import annotations

import itertools

import pytest

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, keys_of_parts
from forebay.pipelines.contract.store.erasure import NEVER, Erasure, encode_offset, erasure_of

KEYS = (JoinKey("merchant", DataType.STRING), JoinKey("card", DataType.INT64), JoinKey("at", DataType.INT32))
VALUES = ("é", 2**60, -1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_entity_has_a_part_for_every_choice_of_its_join_keys(count):
    """They have the keys that rows of these parts would have."""
    row = EntityKeyEncoder(KEYS[:count], "shop")(VALUES[:count])
    chosen = [some for size in range(1, count + 1) for some in itertools.combinations(range(count), size)]
    parts = {EntityKeyEncoder([KEYS[i] for i in some], "shop")([VALUES[i] for i in some]) for some in chosen}
    found = keys_of_parts(row)
    assert set(found) == parts
    assert len(found) == 2**count - 1
    assert row in found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(None, None)], Erasure(NEVER, NEVER, NEVER)),
        ([(b"50", encode_offset(7))], Erasure(50, 7, NEVER)),
        ([(b"50", None)], Erasure(50, NEVER, 50)),
        ([(b"50", encode_offset(7)), (None, None), (b"40", encode_offset(9))], Erasure(50, 9, NEVER)),
        ([(b"50", encode_offset(7)), (b"40", None)], Erasure(50, 7, 40)),
    ],
)
def test_several_erasures_cover_what_each_of_them_covers(found, expected):
    assert erasure_of(found) == expected


def test_an_expected_offset_names_the_erasure_and_is_that_of_no_row():
    assert Erasure().expected_offset == -1
    assert Erasure(at_ms=0).expected_offset == -2
    assert Erasure(at_ms=1_800_000_000_000).expected_offset == -1_800_000_000_002
