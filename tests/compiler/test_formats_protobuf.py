"""Protobuf sources: columns from a generated class, every refusal by its message, fingerprints by meaning."""

import itertools
import subprocess
import sys

import pytest
from feast import Entity, ValueType
from feast.data_format import ProtoFormat

from forebay.pipelines.compiler import compile_registry
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import PlanError
from tests.compiler.definitions import kafka, registry, stream, total
from tests.support.payments import ROOT
from tests.support.wire import TIMESTAMP, proto_class, proto_field, proto_file, write_pb2

pytestmark = [
    pytest.mark.filterwarnings("ignore:Stream feature views are experimental:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Entity value_type will be mandatory:DeprecationWarning"),
]

NUMBERS = itertools.count()


def compiled(repo, *objects):
    return compile_registry(registry(*objects)._replace(repo=repo))


def payment_file(package):
    file = proto_file(f"{package}.proto", package)
    color = file.enum_type.add(name="Color")
    color.value.add(name="RED", number=0)
    payment = file.message_type.add(name="Payment")
    for number, (name, kind) in enumerate(
        [("at", TIMESTAMP), ("card", "string"), ("amount", "double"), ("n", "uint32"), ("big", "uint64")], 1
    ):
        proto_field(payment, number, name, kind)
    proto_field(payment, 6, "note", "string", optional=True)
    proto_field(payment, 7, "tags", "string", repeated=True)
    proto_field(payment, 8, "color", f"{package}.Color")
    proto_field(payment, 9, "line", f"{package}.Payment.Line")
    proto_field(payment, 10, "raw", "bytes")
    proto_field(payment, 11, "limits", f"{package}.Payment.LimitsEntry", repeated=True)
    proto_field(payment, 12, "class", "int32")
    line = payment.nested_type.add(name="Line")
    proto_field(line, 1, "at", "int64")
    proto_field(line, 2, "card", "string")
    entry = payment.nested_type.add(name="LimitsEntry")
    entry.options.map_entry = True
    proto_field(entry, 1, "key", "string")
    proto_field(entry, 2, "value", "int32")
    return file


class Generated:
    """A feature repo with one generated module, of a name and package that no other test has."""

    def __init__(self, folder, change=lambda file: None):
        self.repo, self.package = folder, f"shop{next(NUMBERS)}"
        self.module = f"{self.package}_pb2"
        self.file = payment_file(self.package)
        change(self.file)
        write_pb2(folder, self.module, self.file)

    def kafka(self, path="Payment", **changes):
        return kafka(**{"message_format": ProtoFormat(f"{self.module}.{path}"), **changes})

    def compiled(self, *objects):
        return compiled(self.repo, *objects)

    def view(self, **changes):
        return self.compiled(stream(source=self.kafka(), **changes)).stream_views[0]


@pytest.fixture
def generated(tmp_path):
    return Generated(tmp_path)


class TestProtobuf:
    def test_columns_come_from_the_message_and_only_fields_with_presence_can_be_null(self, generated):
        source = generated.compiled(generated.kafka()).sources[0]
        assert source.columns == (
            Column("at", DataType.UNIX_TIMESTAMP, required=True),
            Column("card", DataType.STRING, required=True),
            Column("amount", DataType.FLOAT64, required=True),
            Column("n", DataType.INT64, required=True),
            Column("note", DataType.STRING),
            Column("class", DataType.INT32, required=True),
        )
        assert (source.format, source.message) == ("protobuf", f"{generated.package}.Payment")
        assert list(source.ignored) == ["big", "tags", "color", "line", "raw", "limits"]

    def test_a_nested_message_can_be_the_event(self, generated):
        source = generated.compiled(generated.kafka("Payment.Line")).sources[0]
        assert source.message == f"{generated.package}.Payment.Line"

    def test_the_plan_holds_all_that_decoding_needs_where_the_module_is_not(self, generated, tmp_path):
        write_plan(generated.compiled(generated.kafka()), tmp_path / "plan")
        payload = proto_class(generated.file, f"{generated.package}.Payment")(card="a", n=7).SerializeToString()
        script = (
            "import sys; from pathlib import Path\n"
            "from forebay.pipelines.contract.plan.plan_file import read_plan\n"
            "from forebay.pipelines.steps.decode.decoder import decoder_for\n"
            "event = decoder_for(read_plan(Path(sys.argv[1])).sources[0]).decode_one(bytes.fromhex(sys.argv[2]))\n"
            "print(event.card, event.n, event.note, any(name.startswith('shop') for name in sys.modules))\n"
        )
        command = [sys.executable, "-c", script, str(tmp_path / "plan"), payload.hex()]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert result.stdout == "a 7 None False\n"

    def test_the_search_path_is_left_as_it_was(self, generated):
        before = list(sys.path)
        generated.compiled(generated.kafka())
        assert sys.path == before

    def test_a_view_of_fields_that_can_be_read_compiles(self, generated):
        assert generated.view().join_keys[0].dtype is DataType.STRING


def repeats_tags(events):
    return events.assign(amount=events["tags"])


def makes_tags(events):
    return events.assign(tags=1.0)


class TestProtobufRefusals:
    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("Nothing", "class_path .* has no message 'Nothing'; name one that protoc generated there"),
            ("Payment.Nothing", "has no message 'Payment.Nothing'"),
            ("Color", "has no message 'Color'"),
            ("DESCRIPTOR", "has no message 'DESCRIPTOR'"),
        ],
    )
    def test_a_class_that_is_none(self, generated, path, message):
        with pytest.raises(PlanError, match=f"Kafka source 'payments': .*{message}"):
            generated.compiled(generated.kafka(path))

    @pytest.mark.parametrize(
        ("class_path", "message"),
        [
            ("", "is no path of a class; write module_pb2.Message"),
            ("Payment", "is no path of a class; write module_pb2.Message"),
            ("com.shop..Payment", "is no path of a class"),
            ("com.example.shop.Payment", "there is no module 'com'; put the one that protoc generated beside"),
            ("nowhere_pb2.Payment", "there is no module 'nowhere_pb2'"),
        ],
    )
    def test_a_path_that_leads_nowhere(self, class_path, message, tmp_path):
        with pytest.raises(PlanError, match=message):
            compiled(tmp_path, kafka(message_format=ProtoFormat(class_path)))

    @pytest.mark.parametrize(
        ("text", "message"),
        [("import gone_pb2", "No module named 'gone_pb2'; install or add that module"), ("1 / 0", "can't be imported")],
    )
    def test_a_module_that_does_not_load(self, tmp_path, text, message):
        name = f"broken{next(NUMBERS)}_pb2"
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(PlanError, match=message):
            compiled(tmp_path, kafka(message_format=ProtoFormat(f"{name}.Payment")))

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("tags", "repeated; send one value, or a count"),
            ("limits", "a map; send its values as fields"),
            ("line", "a nested message; only google.protobuf.Timestamp can be read"),
            ("color", "an enum; send a string or an int32"),
            ("raw", "bytes; send a string"),
            ("big", "a uint64, which can exceed an int64; send an int64"),
        ],
    )
    def test_a_view_that_needs_a_field_that_can_not_be_read(self, generated, name, what):
        with pytest.raises(PlanError, match=f"view 'spend' needs field '{name}' of the events, which is {what}"):
            generated.view(aggregations=[total(column=name)])

    def test_a_function_that_needs_one(self, generated):
        with pytest.raises(PlanError, match=r"function 'repeats_tags' needs field 'tags' .* repeated"):
            generated.view(udf=repeats_tags)

    def test_a_function_may_make_a_column_of_that_name(self, generated):
        assert generated.view(udf=makes_tags, aggregations=[total(column="tags")]).udf is not None

    def test_a_join_key_that_can_not_be_read(self, generated):
        color = Entity(name="color", value_type=ValueType.STRING)
        with pytest.raises(PlanError, match=r"view 'spend' needs field 'color' .* an enum"):
            generated.compiled(color, stream(source=generated.kafka(), entities=[color]))

    def test_a_key_an_id_or_a_time_that_can_not_be_read(self, generated):
        with pytest.raises(PlanError, match=r"tag 'key' needs field 'tags' .* repeated"):
            generated.compiled(generated.kafka(tags={"key": "tags"}))
        with pytest.raises(PlanError, match=r"tag 'event_id' needs field 'tags' .* repeated"):
            generated.compiled(generated.kafka(tags={"event_id": "tags"}))
        with pytest.raises(PlanError, match=r"its timestamp_field needs field 'line' .* nested"):
            generated.compiled(generated.kafka(timestamp_field="line"))

    def test_a_time_that_is_no_time(self, generated):
        with pytest.raises(PlanError, match=r"'card' is string; make it an int64 .* or a google\.protobuf\.Timestamp"):
            generated.compiled(generated.kafka(timestamp_field="card"))

    def test_a_message_without_a_field_that_can_be_read(self, tmp_path):
        def only_tags(file):
            del file.message_type[0].field[11], file.message_type[0].field[:6]
            file.message_type[0].oneof_decl.pop()

        made = Generated(tmp_path, only_tags)
        with pytest.raises(PlanError, match="has no field that can be read; send scalars"):
            made.compiled(made.kafka())


class TestProtobufFingerprint:
    """Packages differ from test to test, and have no meaning for the state."""

    @staticmethod
    def fingerprint(folder, change=lambda file: None):
        folder.mkdir()
        return Generated(folder, change).view().fingerprint

    def test_survives_what_has_no_meaning(self, tmp_path):
        def ignored(file):
            proto_field(file.message_type[0], 20, "more", "string", repeated=True)

        assert self.fingerprint(tmp_path / "a") == self.fingerprint(tmp_path / "b", ignored)

    @pytest.mark.parametrize("change", ["number", "type", "presence", "a field more"])
    def test_changes_with_the_meaning(self, tmp_path, change):
        def changed(file):
            message = file.message_type[0]
            amount = message.field[2]
            match change:
                case "number":
                    amount.number = 30
                case "type":
                    amount.type = amount.TYPE_FLOAT
                case "presence":
                    message.oneof_decl.add(name="_amount")
                    amount.oneof_index, amount.proto3_optional = len(message.oneof_decl) - 1, True
                case _:
                    proto_field(message, 20, "more", "string")

        assert self.fingerprint(tmp_path / "a") != self.fingerprint(tmp_path / "b", changed)
