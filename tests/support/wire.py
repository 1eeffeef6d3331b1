"""Events as producers write them: Avro and Protobuf encoders, frames, and sources compiled from their schemas."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import fastavro
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column
from forebay.pipelines.errors import DecodeError, SchemasUnavailable

TIMESTAMP = "google.protobuf.Timestamp"


def framed(schema_id: int, body: bytes) -> bytes:
    """The payload of Confluent's serializers, except for Protobuf's message index."""
    return struct.pack(">bI", 0, schema_id) + body


# ---- Avro ------------------------------------------------------------------------------------------


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    """A field of an Avro record."""
    return {"name": name, "type": kind, **more}


def avro_record(*fields: dict[str, Any], name: str = "Payment", **more: Any) -> str:
    """An Avro record schema."""
    return json.dumps({"type": "record", "name": name, "fields": fields, **more})


def avro(schema: str, **values: Any) -> bytes:
    """A record as fastavro writes it."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, json.loads(schema), values)
    return stream.getvalue()


class Schemas:
    """Implements `SchemaSource` with a dictionary; can be down."""

    def __init__(self, **by_id: str) -> None:
        self.by_id = {int(name.removeprefix("id")): text for name, text in by_id.items()}
        self.down = False
        self.asked: list[int] = []

    def schema(self, schema_id: int) -> str:
        """See `SchemaSource.schema`."""
        self.asked.append(schema_id)
        if self.down:
            raise SchemasUnavailable("schema registry: Connection refused")
        if schema_id not in self.by_id:
            raise DecodeError(f"schema {schema_id} is unknown")
        return self.by_id[schema_id]


# ---- Protobuf --------------------------------------------------------------------------------------

_KINDS = {name.removeprefix("TYPE_").lower(): number for name, number in FieldDescriptorProto.Type.items()}


def proto_field(
    message: DescriptorProto, number: int, name: str, kind: str, *, optional: bool = False, repeated: bool = False
) -> FieldDescriptorProto:
    """Adds a field to a message; `kind` is a scalar type, or the full name of a message or enum."""
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    added = message.field.add(name=name, number=number, label=label)
    if kind in _KINDS:
        added.type = _KINDS[kind]
    else:
        added.type_name = f".{kind}"
    if optional:
        message.oneof_decl.add(name=f"_{name}")
        added.oneof_index, added.proto3_optional = len(message.oneof_decl) - 1, True
    return added


def proto_file(name: str = "shop/payment.proto", package: str = "shop", syntax: str = "proto3") -> FileDescriptorProto:
    """A .proto file without messages."""
    imports = ["google/protobuf/timestamp.proto"]
    return FileDescriptorProto(name=name, package=package, syntax=syntax, dependency=imports)


def proto_files(file: FileDescriptorProto) -> FileDescriptorSet:
    """The file, after what it imports."""
    files = FileDescriptorSet()
    timestamp_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().CopyFrom(file)
    return files


def proto_class(file: FileDescriptorProto, message: str) -> type[Message]:
    """What a producer's generated code has for a message."""
    pool = DescriptorPool()
    for each in proto_files(file).file:
        pool.Add(each)
    made: type[Message] = GetMessageClass(pool.FindMessageTypeByName(message))
    return made


def proto_source(file: FileDescriptorProto, message: str, columns: tuple[Column, ...], framing: str = "none") -> Source:
    """A source of that message."""
    schema = proto_files(file).SerializeToString()
    time = columns[0].name
    return Source("payments", "payments", "", "protobuf", columns, time, (), None, framing, schema, message)  # type: ignore[arg-type]


def write_pb2(folder: Path, module: str, file: FileDescriptorProto) -> None:
    """A Python module like those that protoc generates."""
    (folder / f"{module}.py").write_text(
        "from google.protobuf import descriptor_pool\n"
        "from google.protobuf import timestamp_pb2\n"
        "from google.protobuf.internal import builder\n"
        f"DESCRIPTOR = descriptor_pool.Default().AddSerializedFile({file.SerializeToString()!r})\n"
        "builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())\n"
        f"builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, {module!r}, globals())\n"
    )
