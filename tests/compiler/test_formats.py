"""Avro sources and framing: columns from the schema, every refusal by its message, fingerprints by meaning."""

import io
import json
import re
import shutil
import subprocess
import sys

import pytest
from feast.data_format import AvroFormat, JsonFormat, StreamFormat
from rich.console import Console

from forebay.definitions.plan_view import plan_as_json, print_plan
from forebay.pipelines.contract.plan.plan_file import read_plan, write_plan
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import PlanError
from forebay.pipelines.steps.decode.decoder import decoder_for
from tests.compiler.definitions import compiled, kafka, stream
from tests.compiler.test_formats_protobuf import Generated
from tests.support.payments import REPO, ROOT, run_compiler
from tests.support.wire import avro, avro_record, field

pytestmark = [
    pytest.mark.filterwarnings("ignore:Stream feature views are experimental:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:Entity value_type will be mandatory:DeprecationWarning"),
]

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
FIELDS = [field("at", MILLIS), field("card", "string"), field("amount", ["null", "double"])]


def avro_kafka(*fields, schema=None, **changes):
    text = avro_record(*(fields or FIELDS)) if schema is None else schema
    return kafka(**{"message_format": AvroFormat(text), **changes})


def source_of(*objects):
    return compiled(*objects).sources[0]


class TestAvro:
    def test_columns_and_what_is_required_come_from_the_schema(self):
        plan = compiled(
            avro_kafka(
                field("at", {"type": "long", "logicalType": "timestamp-micros"}),
                field("card", {"type": "string", "avro.java.string": "String"}, doc="who"),
                field("n", "int"),
                field("total", ["null", "long"]),
                field("rate", ["float", "null"]),
                field("amount", {"type": "double"}),
                field("ok", ["boolean"]),
                field("seen", ["null", MILLIS], default=None),
            )
        )
        assert plan.sources[0].format == "avro"
        assert plan.sources[0].columns == (
            Column("at", DataType.UNIX_TIMESTAMP, required=True),
            Column("card", DataType.STRING, required=True),
            Column("n", DataType.INT32, required=True),
            Column("total", DataType.INT64),
            Column("rate", DataType.FLOAT32),
            Column("amount", DataType.FLOAT64, required=True),
            Column("ok", DataType.BOOL, required=True),
            Column("seen", DataType.UNIX_TIMESTAMP),
        )

    def test_the_time_is_required_even_where_the_schema_lets_it_be_null(self):
        source = source_of(avro_kafka(field("at", ["null", "long"]), field("card", "string")))
        assert source.columns[0] == Column("at", DataType.INT64, required=True)

    def test_the_plan_holds_all_that_decoding_needs(self, tmp_path):
        plan = compiled(stream(source=avro_kafka()))
        write_plan(plan, tmp_path / "plan")
        decode = decoder_for(read_plan(tmp_path / "plan").sources[0])
        assert decode.decode_one(avro(avro_record(*FIELDS), at=1, card="a", amount=2.5)).amount == 2.5

    def test_the_example_in_the_documentation_compiles(self):
        text = (ROOT / "docs" / "formats.md").read_text()
        schema = re.search(r"AvroFormat\('''(.+?)'''\)", text, re.DOTALL)
        assert source_of(avro_kafka(schema=schema[1])) == source_of(avro_kafka())

    def test_a_plan_with_schemas_has_a_json_form_without_them(self):
        (source,) = json.loads(json.dumps(plan_as_json(compiled(stream(source=avro_kafka())))))["sources"]
        assert (source["format"], source["framing"], "schema" in source) == ("avro", "none", False)

    @pytest.mark.parametrize(
        ("source", "shown"),
        [
            (kafka(), "json"),
            (avro_kafka(), "avro"),
            (avro_kafka(tags={"framing": "confluent"}), "avro, confluent framing"),
        ],
    )
    def test_a_printed_plan_says_the_format_of_events(self, source, shown):
        console = Console(width=160, file=io.StringIO())
        print_plan(compiled(stream(source=source)), console)
        assert re.search(rf"^payments\t{re.escape(shown)}\t", console.file.getvalue(), re.MULTILINE)


ADDRESS = {"type": "record", "name": "Address", "fields": [field("city", "string")]}
UNSUPPORTED = {
    "bytes": "bytes",
    "null": "null",
    "array": {"type": "array", "items": "string"},
    "map": {"type": "map", "values": "string"},
    "record": ADDRESS,
    "enum": {"type": "enum", "name": "Color", "symbols": ["RED"]},
    "fixed": {"type": "fixed", "name": "Id", "size": 16},
    "two types": ["null", "int", "string"],
    "nullable record": ["null", ADDRESS],
    "union of unions": ["null", ["int"]],
    "decimal": {"type": "bytes", "logicalType": "decimal", "precision": 4},
    "uuid": {"type": "string", "logicalType": "uuid"},
    "date": {"type": "int", "logicalType": "date"},
    "nanoseconds": {"type": "long", "logicalType": "timestamp-nanos"},
    "time without zone": ["null", {"type": "long", "logicalType": "local-timestamp-millis"}],
    "milliseconds in an int": {"type": "int", "logicalType": "timestamp-millis"},
}


def paths(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from paths(value[key], (*path, key))


def replaced(value, path, by):
    if not path:
        return by
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


class TestAvroRefusals:
    @pytest.mark.parametrize("kind", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
    def test_a_type_that_no_column_can_hold(self, kind):
        with pytest.raises(PlanError, match=r"'payments': Avro field 'x' has type .* not supported; use one of"):
            compiled(avro_kafka(*FIELDS, field("x", kind)))

    def test_where_payloads_name_their_schema_a_field_can_be_left_out(self):
        framed = avro_kafka(*FIELDS, field("x", "bytes"), tags={"framing": "confluent"})
        with pytest.raises(PlanError, match="leave the field out, then it is skipped"):
            compiled(framed)

    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            ("", "can't be used: Expecting value"),
            ("{}", "can't be used: it is no record"),
            ('"string"', "can't be used: it is no record"),
            ("[" * 100_000, "nested too deeply"),
            (avro_record(), "can't be used: it has no fields"),
            ('{"type": "record", "name": "P", "fields": [{"name": "x"}]}', 'can\'t be used: {"name": "x"} is no field'),
            (avro_record(*FIELDS, field("card", "string")), "Avro field 'card' is declared twice; rename one"),
            (avro_record(*FIELDS, field("x", "int", default="a")), "can't be used: Default value <a> must match"),
            (avro_record(*FIELDS, field("x", "Nothing")), "'x' has type \"Nothing\", which is not supported"),
            (
                avro_record(*FIELDS, field("user-id", "int")),
                "Avro field 'user-id' can't be read: names are .*; rename it",
            ),
        ],
    )
    def test_a_schema_that_is_none(self, schema, message):
        with pytest.raises(PlanError, match=message) as caught:
            compiled(avro_kafka(schema=schema))
        assert "Kafka source 'payments'" in str(caught.value)

    def test_whatever_is_wrong_in_a_schema_it_is_the_schema_that_is_refused(self):
        """Every part of a good one, replaced by everything that it is not."""
        odd = [None, 1, 1.5, True, "", "a b", [], {}, [None], {"type": {"type": "long"}}, {"type": []}, "Nothing"]
        good = json.loads(avro_record(*FIELDS, field("x", ["null", MILLIS], default=None, aliases=["y"])))
        refusals = []
        for path in paths(good):
            for value in odd:
                try:
                    compiled(avro_kafka(schema=json.dumps(replaced(good, path, value))))
                except PlanError as error:
                    refusals.append(str(error))
        assert len(refusals) > 200
        assert all(message.startswith("Kafka source 'payments'") for message in refusals)

    def test_a_format_that_nobody_knows(self):
        class Thrift(StreamFormat):
            def to_proto(self):
                raise NotImplementedError

        with pytest.raises(PlanError, match="has Thrift; use JsonFormat, AvroFormat or ProtoFormat"):
            compiled(kafka(message_format=Thrift()))

    def test_a_time_that_is_text(self):
        with pytest.raises(
            PlanError, match="'at' is string; declare it long, with tag 'time_unit' or with logicalType"
        ):
            compiled(avro_kafka(field("at", "string"), field("card", "string")))

    def test_a_unit_that_the_type_of_the_time_says_already(self):
        times = field("at", MILLIS), field("card", "string")
        with pytest.raises(PlanError, match="'time_unit' has no effect: the type of its timestamp_field 'at' says"):
            compiled(avro_kafka(*times, tags={"time_unit": "s"}))

    def test_a_key_that_is_no_field(self):
        with pytest.raises(PlanError, match="tag 'key' names 'who', no column of its schema; it has at, card, amount"):
            compiled(avro_kafka(tags={"key": "who"}))


class TestFraming:
    def test_the_tag_is_in_the_plan(self):
        assert source_of(avro_kafka(tags={"key": "card", "framing": "confluent"})).framing == "confluent"
        assert source_of(avro_kafka()).framing == "none"

    def test_another_tag_is_refused(self):
        with pytest.raises(PlanError, match="'payments': tag 'framing' is 'glue'; write 'confluent', or leave it out"):
            compiled(avro_kafka(tags={"framing": "glue"}))

    def test_json_is_not_framed(self):
        with pytest.raises(PlanError, match="tag 'framing' is for Avro and Protobuf"):
            compiled(kafka(tags={"framing": "confluent"}))

    def test_sources_of_one_topic_must_be_framed_alike(self):
        other = avro_kafka(name="other", tags={"key": "card", "framing": "confluent"})
        with pytest.raises(PlanError, match="'other' and 'payments' describe topic 'payments' differently"):
            compiled(avro_kafka(), other)


def avro_view(*fields, schema=None, **changes):
    return compiled(stream(source=avro_kafka(*fields, schema=schema, **changes))).stream_views[0].fingerprint


class TestAvroFingerprint:
    @pytest.mark.parametrize(
        "schema",
        [
            avro_record(*FIELDS, doc="payments"),
            avro_record(field("at", MILLIS, doc="when"), *FIELDS[1:]),
            avro_record(FIELDS[0], field("card", {"type": "string", "avro.java.string": "String"}), FIELDS[2]),
            avro_record(*FIELDS[:2], field("amount", ["null", "double"], default=None)),
            json.dumps(json.loads(avro_record(*FIELDS)), indent=4),
        ],
        ids=["doc", "doc of a field", "java", "default null", "layout"],
    )
    def test_survives_what_has_no_meaning(self, schema):
        assert avro_view(schema=schema) == avro_view()
        assert compiled(avro_kafka(schema=schema)).fingerprint == compiled(avro_kafka()).fingerprint

    @pytest.mark.parametrize(
        "schema",
        [
            avro_record(field("at", {"type": "long", "logicalType": "timestamp-micros"}), *FIELDS[1:]),
            avro_record(*FIELDS[:2], field("amount", ["double", "null"])),
            avro_record(*FIELDS[:2], field("amount", ["null", "float"])),
            avro_record(*FIELDS[:2], field("amount", ["null", "double"], default=0.0)),
            avro_record(*FIELDS[:2], field("amount", ["null", "double"], aliases=["sum"])),
            avro_record(FIELDS[1], FIELDS[0], FIELDS[2]),
            avro_record(*FIELDS, field("x", ["null", "int"])),
        ],
        ids=["unit", "order of a union", "type", "default", "alias", "order", "a field more"],
    )
    def test_changes_with_the_meaning(self, schema):
        assert avro_view(schema=schema) != avro_view()

    def test_of_the_state_survives_framing_but_that_of_the_plan_does_not(self):
        framed = avro_kafka(tags={"key": "card", "framing": "confluent"})
        assert avro_view(tags={"key": "card", "framing": "confluent"}) == avro_view()
        assert compiled(framed).fingerprint != compiled(avro_kafka()).fingerprint

    def test_of_json_is_another(self):
        ddl = "at timestamp not null, card string not null, amount double"
        view = compiled(stream(source=kafka(message_format=JsonFormat(ddl)))).stream_views[0]
        assert view.fingerprint != avro_view()


def test_both_formats_survive_feast_apply_and_compile_alike_in_any_process(tmp_path):
    repo = tmp_path / "feature_repo"
    (repo / "data").mkdir(parents=True)
    shutil.copy(REPO / "feature_store.yaml", repo)
    made = Generated(repo)
    schema = avro_record(*FIELDS)
    (repo / "definitions.py").write_text(
        f"""
from datetime import timedelta
from feast import Entity, Field, FileSource, KafkaSource, ValueType
from feast.aggregation import Aggregation
from feast.data_format import AvroFormat, ProtoFormat
from feast.stream_feature_view import StreamFeatureView
from feast.types import Float64

card = Entity(name="card", join_keys=["card"], value_type=ValueType.STRING)
formats = {{"a": AvroFormat({schema!r}), "p": ProtoFormat("{made.module}.Payment")}}
for name, message_format in formats.items():
    source = KafkaSource(
        name=name, topic=name, kafka_bootstrap_servers="localhost:9092", timestamp_field="at",
        message_format=message_format, tags={{"key": "card", "framing": "confluent"}},
        batch_source=FileSource(name=f"rows_{{name}}", path="rows.parquet", timestamp_field="event_timestamp"),
    )
    globals()[name] = StreamFeatureView(
        name=f"spend_{{name}}", entities=[card], source=source, timestamp_field="at",
        aggregations=[Aggregation(column="amount", function="sum", time_window=timedelta(hours=1), name="total")],
        schema=[Field(name="total", dtype=Float64)],
    )
"""
    )
    (repo / "rows.parquet").touch()
    feast = [sys.executable, "-m", "feast.cli.cli"]
    applied = subprocess.run([*feast, "apply", "--skip-source-validation"], cwd=repo, capture_output=True, text=True)
    assert applied.returncode == 0, applied.stderr[-2_000:]
    plans = []
    for seed in (1, 2):
        result = run_compiler(repo, tmp_path / "plan.bin", seed)
        assert (result.returncode, result.stderr) == (0, "")
        plans.append(read_plan(tmp_path / "plan.bin"))
    assert plans[0] == plans[1]
    assert [(source.format, source.framing) for source in plans[0].sources] == [
        ("avro", "confluent"),
        ("protobuf", "confluent"),
    ]
