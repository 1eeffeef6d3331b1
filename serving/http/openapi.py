"""OpenAPI of the hot routes, from the very structs that decode and encode their bodies."""

from __future__ import annotations

from typing import Any

import msgspec

from forebay.pipelines.contract.plan.services import FeatureService
from forebay.pipelines.contract.plan.types import DataType
from forebay.serving.http.codec import Body, FeaturesResponse, PredictResponse
from forebay.serving.http.error_table import OK, ErrorBody, documented_statuses

_JSON_TYPES = {
    DataType.STRING: "string",
    DataType.INT32: "integer",
    DataType.INT64: "integer",
    DataType.FLOAT32: "number",
    DataType.FLOAT64: "number",
    DataType.BOOL: "boolean",
    DataType.UNIX_TIMESTAMP: "integer",
}
_REF = "#/components/schemas/"


def add_hot_routes(document: dict[str, Any], service: FeatureService) -> None:
    """Adds `/v1/predict` and `/v1/features` of this feature service to an OpenAPI document."""
    _, schemas = msgspec.json.schema_components(
        (Body, PredictResponse, FeaturesResponse, ErrorBody), ref_template=_REF + "{name}"
    )
    schemas["Body"]["properties"]["entities"] = {"type": "array", "minItems": 1, "items": {"$ref": f"{_REF}Entity"}}
    schemas["Entity"] = _entity(service)
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    document["paths"] |= {
        "/v1/predict": {"post": _operation("predict", "Features and scores of entities", "PredictResponse")},
        "/v1/features": {"post": _operation("features", "Features of entities", "FeaturesResponse")},
    }


def _entity(service: FeatureService) -> dict[str, Any]:
    required = {column.name for column in service.request if column.required}
    properties = {}
    for name, dtype in service.field_types.items():
        json_type = _JSON_TYPES[dtype]
        properties[name] = {"type": json_type if name in required else [json_type, "null"], "description": str(dtype)}
    return {
        "type": "object",
        "description": f"Join keys and request fields of feature service {service.name}.",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _operation(name: str, summary: str, response: str) -> dict[str, Any]:
    failures = {status: _content(codes, "ErrorBody") for status, codes in documented_statuses().items()}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True} | _content(None, "Body"),
        "responses": {str(OK): _content("One answer per entity, in order.", response)} | failures,
    }


def _content(description: str | None, schema: str) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": {"$ref": _REF + schema}}}}
    return content if description is None else {"description": description, **content}
