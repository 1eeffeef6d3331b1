"""Describes the events of a source independently of their format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from forebay.pipelines.contract.plan.types import Column
from forebay.pipelines.errors import PlanError


class EventSchema(NamedTuple):
    """The part of a `Source` that comes from its format."""

    format: Literal["json", "avro", "protobuf"]
    columns: tuple[Column, ...]
    schema: bytes = b""
    message: str = ""
    ignored: Mapping[str, str] = MappingProxyType({})


def refuse_ignored(ignored: Mapping[str, str], name: str, where: str) -> None:
    """Raises `PlanError` if `name` is a field that can't be read, and is ignored as long as nothing needs it."""
    if name in ignored:
        raise PlanError(f"{where} needs field {name!r} of the events, which is {ignored[name]}")


NO_NAME = (
    "can't be read: names are letters, digits and _, not beginning with a digit, and neither paths nor renames of "
    "fields are supported yet"
)
"""What is wrong with a column of that name."""


def is_field_name(name: str) -> bool:
    """Returns whether a column can have this name: columns are attributes of event objects."""
    return name.isidentifier()


def known(columns: Iterable[Column]) -> str:
    """Lists the existing columns, for errors."""
    return "it has " + ", ".join(column.name for column in columns)
