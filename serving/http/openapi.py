"""OpenAPI of all routes: FastAPI's own, the hot ones from the very structs of their bodies, and other doors'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.steps.event_time import LATEST_MS
from forebay.serving.features.request import RANGES
from forebay.serving.http.codec import Body, FeaturesResponse, PredictResponse
from forebay.serving.http.error_table import OK, ErrorBody, documented_statuses
from forebay.serving.http.formats import MSGPACK
from forebay.serving.http.front import OPEN_PATHS
from forebay.serving.web.openapi import REF, Described, Schema, json_answer, operation, ref

_JSON_TYPES = {
    DataType.STRING: "string",
    DataType.INT32: "integer",
    DataType.INT64: "integer",
    DataType.FLOAT32: "number",
    DataType.FLOAT64: "number",
    DataType.BOOL: "boolean",
    DataType.UNIX_TIMESTAMP: "integer",
}

_AT_THE_GATE = ("401", "403", "429", "503")
"""Statuses that a route may have before it is reached."""


def describe_hot_routes(service: FeatureService, max_entities: int, earliest_ms: int) -> Described:
    """Describes `/v1/predict` and `/v1/features` of this feature service."""
    _, schemas = msgspec.json.schema_components(
        (Body, PredictResponse, FeaturesResponse, ErrorBody), ref_template=REF + "{name}"
    )
    time = {"type": "integer", "minimum": earliest_ms, "maximum": LATEST_MS}
    properties = schemas["Body"]["properties"]
    properties["entities"] = {
        "type": "array",
        "minItems": 1,
        "maxItems": max_entities,
        "items": ref("Entity"),
    }
    properties["as_of_ms"]["anyOf"] = [time, {"type": "null"}]
    schemas["Entity"] = _entity(service)
    paths = {
        "/v1/predict": {"post": _hot("predict", "Features and scores of entities", "PredictResponse")},
        "/v1/features": {"post": _hot("features", "Features of entities", "FeaturesResponse")},
    }
    return Described(paths, schemas)


def complete(document: Schema, parts: Iterable[Described], has_gate: bool) -> None:
    """Adds the routes of doors to FastAPI's document, and says which ones need a credential.

    Args:
        has_gate: whether any does.
    """
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for paths, own in parts:
        document["paths"] |= paths
        schemas |= own
    if not has_gate:
        return
    components["securitySchemes"] = {"credential": {"type": "http", "scheme": "bearer"}}
    failures = _failures()
    for path, methods in document["paths"].items():
        for described in methods.values() if path not in OPEN_PATHS else ():
            described["security"] = [{"credential": []}]
            for status in _AT_THE_GATE:
                described["responses"].setdefault(status, failures[status])


def _entity(service: FeatureService) -> Schema:
    required = {column.name for column in service.request if column.required}
    properties: dict[str, Any] = {}
    for name, dtype in service.field_types.items():
        json_type = _JSON_TYPES[dtype]
        properties[name] = {"type": json_type if name in required else [json_type, "null"], "description": str(dtype)}
        if dtype in RANGES:
            properties[name]["minimum"], properties[name]["maximum"] = RANGES[dtype]
    return {
        "type": "object",
        "description": f"Join keys and request fields of feature service {service.name}.",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _hot(name: str, summary: str, response: str) -> Schema:
    answers = {str(OK): json_answer("One answer per entity, in order.", ref(response))} | _failures()
    described = operation(name, summary, answers, ref("Body"))
    for part in (described["requestBody"], described["responses"][str(OK)]):
        part["content"][MSGPACK.content_type.decode()] = part["content"]["application/json"]
    return described


def _failures() -> dict[str, Schema]:
    return {status: json_answer(codes, ref("ErrorBody")) for status, codes in documented_statuses().items()}
