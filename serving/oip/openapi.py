"""OpenAPI of the protocol's routes."""

from __future__ import annotations

from typing import Any

from forebay.serving.oip.inference import Inference
from forebay.serving.oip.tensors import DATATYPES
from forebay.serving.web.openapi import Described, Schema, json_answer, operation, ref

_Paths = dict[str, dict[str, Any]]

_ERROR: Schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_PARAMETERS: Schema = {"type": ["object", "null"]}
_TEXT: Schema = {"type": "string"}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer"}}
_DATATYPE: Schema = {"type": "string", "enum": list(DATATYPES)}

_FAILURES = {
    "400": "The request can't be meant.",
    "401": "The credential is missing or not valid.",
    "403": "A scope is missing.",
    "404": "There is no such model or version.",
    "413": "The body is too large.",
    "429": "The principal asks for more than its limit.",
    "500": "The model failed, or an unexpected error.",
    "501": "The content encoding is not known, or the call is not supported.",
    "503": "The store does not answer, or there is too much to do.",
}

_JSON_LENGTH: Schema = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Length of the JSON in bytes, where raw tensors follow it.",
    "schema": {"type": "integer", "minimum": 1},
}


def describe(inference: Inference) -> Described:
    """Describes the routes, with the names of the models that are served."""
    model: Schema = {"name": "model", "in": "path", "required": True}
    model["schema"] = {"type": "string", "enum": list(inference.models)}
    version = _in_path("version", [each.version for each in inference.models.values()])
    repository = _in_path("repository", ["main"])
    paths: _Paths = {
        "/v2": {"get": _get("server_metadata", "Name, version and extensions", _object("name", "version"))},
        "/v2/health/live": {"get": _get("server_live", "The process is alive", _flag("live"))},
        "/v2/health/ready": {"get": _get("server_ready", "Questions could be answered now", _flag("ready"))},
        "/v2/models": {"get": _get("models", "Names of all models", ref("InferenceModels"))},
    }
    paths["/v2/health/ready"]["get"]["responses"]["503"] = json_answer("Not now.", {"anyOf": [_flag("ready"), _ERROR]})
    _add_models(paths, "", "", (model,))
    _add_models(paths, "/versions/{version}", "_version", (model, version))
    _add_repository(paths, "", "", (), model)
    _add_repository(paths, "/{repository}", "_repository", (repository,), model)
    return Described(paths, _schemas())


def _add_models(paths: _Paths, at: str, name: str, parameters: tuple[Schema, ...]) -> None:
    """Adds the calls of one model.

    Args:
        at: what stands behind the model in the path.
        name: what stands behind the names of the operations.
    """
    metadata = _get(f"model_metadata{name}", "What a model takes and answers", ref("InferenceModel"), parameters)
    ready = _get(f"model_ready{name}", "The model is served", _flag("ready"), parameters)
    paths[f"/v2/models/{{model}}{at}"] = {"get": metadata}
    paths[f"/v2/models/{{model}}{at}/ready"] = {"get": ready}
    paths[f"/v2/models/{{model}}{at}/infer"] = {"post": _infer(f"infer{name}", (*parameters, _JSON_LENGTH))}


def _add_repository(paths: _Paths, at: str, name: str, parameters: tuple[Schema, ...], model: Schema) -> None:
    """Adds the calls of the repository.

    Args:
        at, name: as `_add_models`.
    """
    index = _get(f"repository_index{name}", "All models and their states", ref("InferenceIndex"), parameters)
    both = (*parameters, model)
    load = operation(f"model_load{name}", "Succeeds for a model that is served", _answers({}), None, both)
    unload = operation(f"model_unload{name}", "Fails", _answers(None), None, both)
    paths[f"/v2/repository{at}/index"] = {"post": index}
    paths[f"/v2/repository{at}/models/{{model}}/load"] = {"post": load}
    paths[f"/v2/repository{at}/models/{{model}}/unload"] = {"post": unload}


def _in_path(name: str, examples: list[str]) -> Schema:
    schema = {"type": "string", "minLength": 1, "examples": sorted(set(examples))}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _get(name: str, summary: str, schema: Schema, parameters: tuple[Schema, ...] = ()) -> Schema:
    return operation(name, summary, _answers(json_answer("What was asked for.", schema)), None, parameters)


def _answers(success: Schema | None) -> dict[str, Schema]:
    """Lists the answers by status; an empty success has no body, and None is a call that never succeeds."""
    failures = {status: json_answer(meaning, ref("InferenceError")) for status, meaning in _FAILURES.items()}
    return failures if success is None else {"200": success or {"description": "Done."}} | failures


def _infer(name: str, parameters: tuple[Schema, ...]) -> Schema:
    success = json_answer("The outputs.", ref("InferenceResponse"))
    success["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    described = operation(name, "Runs a model", _answers(success), ref("InferenceRequest"), parameters)
    described["requestBody"]["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    return described


def _object(*texts: str) -> Schema:
    return {"type": "object", "properties": dict.fromkeys(texts, _TEXT), "required": list(texts)}


def _flag(name: str) -> Schema:
    return {"type": "object", "properties": {name: {"type": "boolean"}}, "required": [name]}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items} | more


def _schemas() -> dict[str, Schema]:
    tensor = {"name": _TEXT, "datatype": _DATATYPE, "shape": _SHAPE}
    port: Schema = {"type": "object", "properties": tensor, "required": list(tensor)}
    given: Schema = {"type": "object", "properties": tensor | {"data": {}, "parameters": _PARAMETERS}}
    given["required"] = list(tensor)
    listed: Schema = {"type": "object", "properties": {"name": _TEXT, "parameters": _PARAMETERS}, "required": ["name"]}
    answered: Schema = {"type": "object", "properties": tensor | {"data": {"type": "array"}, "parameters": _PARAMETERS}}
    answered["required"] = list(tensor)
    request: Schema = {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "null"]},
            "parameters": _PARAMETERS,
            "inputs": _list(given, minItems=1),
            "outputs": {"anyOf": [_list(listed), {"type": "null"}]},
        },
        "required": ["inputs"],
    }
    response: Schema = {
        "type": "object",
        "properties": {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT, "outputs": _list(answered)},
        "required": ["model_name", "model_version", "outputs"],
    }
    model = _object("name", "platform")
    model["properties"] |= {"versions": _list(_TEXT), "inputs": _list(port), "outputs": _list(port)}
    return {
        "InferenceError": _ERROR,
        "InferenceModels": {"type": "object", "properties": {"models": _list(_TEXT)}, "required": ["models"]},
        "InferenceModel": model,
        "InferenceRequest": request,
        "InferenceResponse": response,
        "InferenceIndex": _list(_object("name", "version", "state")),
    }
