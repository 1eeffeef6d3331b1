"""Parts of an OpenAPI document, as every door contributes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

REF = "#/components/schemas/"

Schema = dict[str, Any]


class Described(NamedTuple):
    """The routes of a door."""

    paths: dict[str, dict[str, Any]]
    """By path, by method, the operation."""
    schemas: dict[str, Schema]
    """By the name that the routes refer to them by."""


def ref(name: str) -> Schema:
    """Refers to a schema by its name."""
    return {"$ref": REF + name}


def json_answer(description: str, schema: Schema) -> Schema:
    """Describes an answer in JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def operation(
    name: str,
    summary: str,
    answers: Mapping[str, Schema],
    body: Schema | None = None,
    parameters: tuple[Schema, ...] = (),
) -> Schema:
    """Describes an operation.

    Args:
        name: unique in the document.
        answers: by status.
        body: of the request, in JSON; None: none is read.
    """
    described: Schema = {"operationId": name, "summary": summary, "responses": dict(answers)}
    if parameters:
        described["parameters"] = list(parameters)
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described
