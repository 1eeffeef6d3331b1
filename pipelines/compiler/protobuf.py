"""Compiles a `ProtoFormat`: its columns, and the message type, so that other processes need not import its class."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

from forebay.pipelines.compiler.event_schema import EventSchema
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import PlanError
from forebay.pipelines.steps.decode.protobuf import message_class

_TYPES = {
    FieldDescriptor.TYPE_STRING: DataType.STRING,
    FieldDescriptor.TYPE_INT32: DataType.INT32,
    FieldDescriptor.TYPE_SINT32: DataType.INT32,
    FieldDescriptor.TYPE_SFIXED32: DataType.INT32,
    FieldDescriptor.TYPE_UINT32: DataType.INT64,
    FieldDescriptor.TYPE_FIXED32: DataType.INT64,
    FieldDescriptor.TYPE_INT64: DataType.INT64,
    FieldDescriptor.TYPE_SINT64: DataType.INT64,
    FieldDescriptor.TYPE_SFIXED64: DataType.INT64,
    FieldDescriptor.TYPE_FLOAT: DataType.FLOAT32,
    FieldDescriptor.TYPE_DOUBLE: DataType.FLOAT64,
    FieldDescriptor.TYPE_BOOL: DataType.BOOL,
}
_UNSUPPORTED = {
    FieldDescriptor.TYPE_MESSAGE: "a nested message; only google.protobuf.Timestamp can be read, send it flat",
    FieldDescriptor.TYPE_GROUP: "a group; send its fields flat",
    FieldDescriptor.TYPE_ENUM: "an enum; send a string or an int32",
    FieldDescriptor.TYPE_BYTES: "bytes; send a string",
    FieldDescriptor.TYPE_UINT64: "a uint64, which can exceed an int64; send an int64",
    FieldDescriptor.TYPE_FIXED64: "a fixed64, which can exceed an int64; send an sfixed64",
}
_TIMESTAMP = "google.protobuf.Timestamp"


def protobuf_schema(class_path: str, repo: Path, where: str) -> EventSchema:
    """Compiles a generated class, `module.Message`, that can be imported from the feature repo.

    Raises:
        PlanError: there is no such class, or it has no field that can be read.
    """
    descriptor: Descriptor = _message_class(class_path, repo, where).DESCRIPTOR
    declared = DescriptorProto()
    descriptor.CopyToProto(declared)
    columns, ignored = [], {}
    for field, plain in zip(descriptor.fields, declared.field, strict=True):
        column = _column(field, plain)
        if isinstance(column, Column):
            columns.append(column)
        else:
            ignored[field.name] = column
    if not columns:
        raise PlanError(f"{where}: message {descriptor.full_name} has no field that can be read; send scalars")
    files = FileDescriptorSet()
    _add(descriptor.file, files)
    schema = files.SerializeToString(deterministic=True)
    return EventSchema("protobuf", tuple(columns), schema, descriptor.full_name, ignored)


def _message_class(class_path: str, repo: Path, where: str) -> type[Message]:
    parts = class_path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise PlanError(f"{where}: class_path {class_path!r} is no path of a class; write module_pb2.Message")
    with _first_on_path(repo):
        module, names = _module(parts, class_path, where)
    found: Any = module
    for name in names:
        found = getattr(found, name, None)
    if not (isinstance(found, type) and issubclass(found, Message)):
        raise PlanError(
            f"{where}: class_path {class_path!r}: module {module.__name__!r} has no message "
            f"{'.'.join(names)!r}; name one that protoc generated there"
        )
    return found


def _module(parts: list[str], class_path: str, where: str) -> tuple[ModuleType, list[str]]:
    """Splits a class path into the longest part that is a module, and the names that follow it."""
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            # Of a module that is there, an import that fails is to be seen: only its own absence is not.
            if not (error.name and (name == error.name or name.startswith(f"{error.name}."))):
                raise PlanError(f"{where}: class_path {class_path!r}: {error}; install or add that module") from error
        except Exception as error:
            raise PlanError(
                f"{where}: class_path {class_path!r}: module {name!r} can't be imported: {error}; generate it again "
                f"with a protoc that fits the installed protobuf"
            ) from error
    raise PlanError(
        f"{where}: class_path {class_path!r}: there is no module {parts[0]!r}; put the one that protoc generated "
        f"beside the feature definitions, and write module_pb2.Message"
    )


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _column(field: FieldDescriptor, plain: FieldDescriptorProto) -> Column | str:
    """Returns the field's column; for a field that can't be one, its kind and the repair."""
    if plain.label == FieldDescriptorProto.LABEL_REPEATED:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        return "a map; send its values as fields" if is_map else "repeated; send one value, or a count"
    required = not field.has_presence or plain.label == FieldDescriptorProto.LABEL_REQUIRED
    if field.message_type is not None and field.message_type.full_name == _TIMESTAMP:
        return Column(field.name, DataType.UNIX_TIMESTAMP, required)
    dtype = _TYPES.get(field.type)
    return Column(field.name, dtype, required) if dtype else _UNSUPPORTED[field.type]


def _add(file: FileDescriptor, files: FileDescriptorSet) -> None:
    """Adds a file after all files that it imports, each of them once."""
    if any(known.name == file.name for known in files.file):
        return
    for imported in file.dependencies:
        _add(imported, files)
    file.CopyToProto(files.file.add())


def wire_meaning(source: Source) -> list[list[Any]]:
    """Returns what decides how bytes become columns: number, type and default of each column's field."""
    fields = message_class(source).DESCRIPTOR.fields_by_name
    return [
        [name, field.number, field.type, field.has_presence, repr(field.default_value)]
        for name, field in ((column.name, fields[column.name]) for column in source.columns)
    ]
