"""OpenAPI of the route, with the names of the plan."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from forebay.pipelines.contract.plan.plan import Plan
from forebay.serving.feast.encode import Status
from forebay.serving.feast.request import OnlineFeaturesRequest
from forebay.serving.web.openapi import Described, Schema, json_answer, operation, ref

_TEXT: Schema = {"type": "string", "description": "A Feast error: JSON with module, class and message."}
_DETAIL: Schema = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
_PLACE: Schema = {"type": "array", "items": {"type": ["string", "integer"]}}
_INVALID: Schema = {
    "type": "object",
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"type": {"type": "string"}, "loc": _PLACE, "msg": {"type": "string"}},
                "required": ["type", "loc", "msg"],
            },
        }
    },
    "required": ["detail"],
}
_ANSWERS = {
    "400": json_answer("The body is not what its encoding says.", _DETAIL),
    "401": json_answer("The credential is missing or not valid.", _DETAIL),
    "403": json_answer("A scope is missing.", _TEXT),
    "404": json_answer("A service, view, feature or request field does not exist.", _TEXT),
    "413": json_answer("The body is too large.", _DETAIL),
    "415": json_answer("The content encoding is not known.", _DETAIL),
    "422": json_answer("The request can't be meant.", _INVALID),
    "429": json_answer("The principal asks for more than its limit.", _DETAIL),
    "500": json_answer("An unexpected error.", _DETAIL),
    "503": json_answer("The store does not answer, or there is too much to do.", _DETAIL),
}


def describe(plan: Plan, path: str, as_of_header: str, max_entities: int) -> Described:
    """Describes the route.

    Args:
        as_of_header: the header that asks for values as of a time.
    """
    _, schemas = msgspec.json.schema_components((OnlineFeaturesRequest,), ref_template="#/components/schemas/{name}")
    request = schemas["OnlineFeaturesRequest"]
    values: Schema = {"type": "array", "minItems": 1, "maxItems": max_entities}
    request["properties"] |= {
        "entities": {
            "type": "object",
            "description": "Join keys and request fields by name, one value per entity; all lists have one length.",
            "minProperties": 1,
            "additionalProperties": values,
        },
        "features": {"type": "array", "items": {"type": "string"}, "examples": [_features(plan)]},
        "feature_service": {"type": ["string", "null"], "examples": [each.name for each in plan.services]},
    }
    header: Schema = {
        "name": as_of_header,
        "in": "header",
        "description": "Values as of a time instead of the published ones: `now`, or ms since the epoch.",
        "schema": {"type": "string", "pattern": "^(now|[0-9]{1,13})$"},
    }
    answers = {"200": json_answer("One result per join key and feature.", ref("OnlineFeaturesResponse"))} | _ANSWERS
    post = operation("get_online_features", "Feast's online features", answers, ref("OnlineFeaturesRequest"), (header,))
    return Described({path: {"post": post}}, schemas | {"OnlineFeaturesResponse": _response()})


def _features(plan: Plan) -> list[str]:
    return [f"{view.name}:{each.name}" for view in plan.stream_views for each in view.features]


def _response() -> Schema:
    status: dict[str, Any] = {"type": "string", "enum": list(get_args(Status))}
    column: Schema = {
        "type": "object",
        "properties": {
            "values": {"type": "array"},
            "statuses": {"type": "array", "items": status},
            "event_timestamps": {"type": "array", "items": {"type": "string", "format": "date-time"}},
        },
        "required": ["values", "statuses", "event_timestamps"],
    }
    view: Schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    metadata: Schema = {
        "type": "object",
        "properties": {
            "feature_names": {"type": "array", "items": {"type": "string"}},
            "feature_view_metadata": {"type": "array", "items": view},
        },
        "required": ["feature_names"],
    }
    return {
        "type": "object",
        "properties": {"metadata": metadata, "results": {"type": "array", "items": column}},
        "required": ["metadata", "results"],
    }
