"""Keys, fields and values against Feast's own encoder, byte for byte: its SDK must read what is written here."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from forebay.pipelines.contract.store.list_values import decode_list
from forebay.pipelines.contract.store.values import (
    decode_timestamp,
    decode_value,
    encode_columns,
    encode_timestamp,
    encode_value,
)
from forebay.pipelines.steps.arrays import objects

PROJECT = "shop_1"
INT32, INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
KEY_VALUES = {
    DataType.STRING: ("string_val", ["", "a", "N123AA", "ß→\U0001f6eb", "a\u0000b", "x" * 1_024]),
    DataType.INT32: ("int32_val", [0, 1, -1, *INT32]),
    DataType.INT64: ("int64_val", [0, 1, -1, 2**53 + 1, *INT64]),
}
SCALARS = {
    DataType.STRING: ("string_val", ["", "a", "ß\U0001f6eb", "y" * 70_000]),
    DataType.INT32: ("int32_val", [0, 1, -1, 127, 128, *INT32]),
    DataType.INT64: ("int64_val", [0, 1, -1, 300, 2**53 + 1, *INT64]),
    DataType.FLOAT32: ("float_val", [0.0, -0.0, 1.5, -2.25, 3.4028234663852886e38, 2.0**-149, float("inf")]),
    DataType.FLOAT64: ("double_val", [0.0, -0.0, 0.1, -1e300, 5e-324, float("inf"), float("-inf")]),
    DataType.BOOL: ("bool_val", [True, False]),
    DataType.UNIX_TIMESTAMP: ("unix_timestamp_val", [0, 1_380_628_800, -1, *INT64]),
}

LISTS = {DataType.FLOAT32: "FLOAT_LIST", DataType.FLOAT64: "DOUBLE_LIST"}
"""Feast's names of lists that are not like their elements'."""

NUMERIC = [dtype for dtype in SCALARS if dtype is not DataType.STRING]
EXACT = {value for _, values in SCALARS.values() for value in values if isinstance(value, int)} - {2**53 + 1, 2**63 - 1}
"""Whole numbers that a float64 column holds exactly."""


@pytest.fixture(scope="session")
def feast():
    """Feast's encoders. Its import takes seconds: once, and only for these tests."""
    from feast.infra.online_stores.helpers import _mmh3, _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
    from feast.value_type import ValueType
    from google.protobuf.timestamp_pb2 import Timestamp

    return SimpleNamespace(
        redis_key=_redis_key,
        mmh3=_mmh3,
        EntityKey=EntityKey,
        Value=Value,
        ValueType=ValueType,
        Timestamp=Timestamp,
        encode=python_values_to_proto_values,
        decode=feast_value_type_to_python_type,
    )


def keys_both(feast, typed_values):
    """The key of these (name, type, value), as Forebay and as Feast makes it."""
    ours = EntityKeyEncoder([JoinKey(name, dtype) for name, dtype, _ in typed_values], PROJECT)(
        [value for *_, value in typed_values]
    )
    entity = feast.EntityKey(
        join_keys=[name for name, *_ in typed_values],
        entity_values=[feast.Value(**{KEY_VALUES[dtype][0]: value}) for _, dtype, value in typed_values],
    )
    return ours, feast.redis_key(PROJECT, entity, entity_key_serialization_version=3)


class TestKeys:
    @pytest.mark.parametrize("dtype", KEY_VALUES)
    def test_of_one_join_key(self, feast, dtype):
        for value in KEY_VALUES[dtype][1]:
            ours, theirs = keys_both(feast, [("id", dtype, value)])
            assert ours == theirs

    @pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
    def test_of_several_in_any_order(self, feast, order):
        """Feast sorts join keys by name; capitals, digits and other letters too."""
        parts = [
            ("b", DataType.STRING, "x"),
            ("B2", DataType.INT32, -5),
            ("é", DataType.INT64, 2**40),
            ("a_10", DataType.STRING, "ß"),
        ]
        ours, theirs = keys_both(feast, [parts[at] for at in order])
        assert ours == theirs
        assert ours == keys_both(feast, parts)[0]

    def test_values_that_look_alike_joined_have_different_keys(self, feast):
        first, _ = keys_both(feast, [("a", DataType.STRING, "x"), ("b", DataType.STRING, "yz")])
        second, _ = keys_both(feast, [("a", DataType.STRING, "xy"), ("b", DataType.STRING, "z")])
        assert first != second

    @pytest.mark.parametrize(("view", "feature"), [("card_activity", "amount_sum_1h"), ("v", ""), ("ß", "\U0001f6eb")])
    def test_fields_are_those_feast_hashes(self, feast, view, feature):
        assert feature_field(view, feature) == feast.mmh3(f"{view}:{feature}")
        assert timestamp_field(view) == f"_ts:{view}".encode()


class TestValues:
    @pytest.mark.parametrize("dtype", SCALARS)
    def test_a_scalar_is_what_protobuf_makes_of_it(self, feast, dtype):
        field, values = SCALARS[dtype]
        for value in values:
            theirs = feast.Value(**{field: value}).SerializeToString()
            assert encode_value(value, dtype) == theirs
            assert decode_value(theirs) == value

    @pytest.mark.parametrize("dtype", NUMERIC)
    def test_a_column_is_its_scalars(self, feast, dtype):
        """Columns are float64, so whole numbers only as far as that is exact."""
        field, values = SCALARS[dtype]
        values = [value for value in values if value in EXACT or not isinstance(value, int)]
        theirs = [feast.Value(**{field: value}).SerializeToString() for value in values]
        assert encode_columns([np.array(values, dtype=np.float64)], [dtype]) == [theirs]

    @pytest.mark.parametrize("dtype", SCALARS)
    def test_null_is_the_empty_message(self, feast, dtype):
        assert encode_value(None, dtype) == feast.Value().SerializeToString() == b""
        assert encode_value(float("nan"), dtype) == b""
        assert (decode_value(b""), decode_value(None)) == (None, None)

    @pytest.mark.parametrize("dtype", NUMERIC)
    def test_nulls_in_a_column_leave_the_others_in_place(self, dtype):
        one = encode_value(1, dtype)
        assert encode_columns([np.array([np.nan, 1.0, np.nan, 1.0])], [dtype]) == [[b"", one, b"", one]]
        assert encode_columns([np.array([])], [dtype]) == [[]]

    def test_columns_of_several_types_keep_their_places(self):
        types = [DataType.FLOAT32, DataType.STRING, DataType.FLOAT64, DataType.INT64, DataType.FLOAT64]
        columns = [[0.5, np.nan], ["a", None], [1.5, 2.5], [7.0, np.nan], [np.nan, -0.0]]
        arrays = [objects(column) if "a" in column else np.array(column) for column in columns]
        assert encode_columns(arrays, types) == [
            [encode_value(value, dtype) for value in column] for column, dtype in zip(columns, types, strict=True)
        ]
        assert encode_columns([], []) == []

    def test_a_list_is_no_scalar_and_a_scalar_is_no_list(self, feast):
        value = feast.Value()
        value.int64_list_val.val.extend([1, 2])
        assert decode_value(value.SerializeToString()) is None
        assert decode_list(feast.Value(int64_val=1).SerializeToString()) is None

    @pytest.mark.parametrize(
        "data", [b"\x29\x00", b"\x35", b"\x12", b"\x12\x02\xff\xfe", b"\x20", b"\x20" + b"\xff" * 10]
    )
    def test_damaged_bytes_are_an_error(self, data):
        with pytest.raises(ValueError, match=r"Feast ValueProto|varint"):
            decode_value(data)


class TestLists:
    @pytest.mark.parametrize("dtype", SCALARS)
    def test_a_list_is_what_feast_makes_of_it_and_reads_back(self, feast, dtype):
        """Empty ones too: they are lists, not null."""
        _, values = SCALARS[dtype]
        for chosen in (values, values[:1], values[::-1] * 40, []):
            (theirs,) = feast.encode([chosen], feast.ValueType[LISTS.get(dtype, f"{dtype.name}_LIST")])
            assert encode_value(chosen, DataType[f"{dtype.name}_LIST"]) == theirs.SerializeToString() != b""
            assert decode_list(theirs.SerializeToString()) == chosen
            if dtype is not DataType.UNIX_TIMESTAMP:  # Feast reads seconds
                assert feast.decode(theirs) == chosen

    def test_a_column_of_lists_is_its_lists(self):
        lists = [[1.5], [], None, [2.5, -0.0]]
        (cells,) = encode_columns([objects(lists)], [DataType.FLOAT64_LIST])
        assert [decode_list(cell) for cell in cells] == lists
        assert cells[2] == b""

    def test_a_float32_beyond_its_range_is_infinite(self):
        assert decode_list(encode_value([1e300, -1e300], DataType.FLOAT32_LIST)) == [float("inf"), float("-inf")]

    @pytest.mark.parametrize(
        "data", [b"\x62\x02\x0a", b"\x62\x03\x0a\x01\xff", b"\x72\x02\x12\x00", b"\x7a\x03\x0a\x01\x00"]
    )
    def test_damaged_bytes_are_an_error(self, data):
        with pytest.raises(ValueError, match=r"Feast ValueProto|buffer size"):
            decode_list(data)


class TestTimestamps:
    @pytest.mark.parametrize(
        "event_ms", [0, 1, 999, 1_000, 1_380_628_800_000, 1_380_628_800_001, 4_102_444_800_000, -1]
    )
    def test_a_time_is_what_protobuf_makes_of_it(self, feast, event_ms):
        theirs = feast.Timestamp()
        theirs.FromDatetime(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=event_ms))
        assert encode_timestamp(event_ms) == theirs.SerializeToString()
        assert decode_timestamp(theirs.SerializeToString()) == event_ms
