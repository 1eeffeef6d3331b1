"""The protocol over HTTP: raw ASGI under `/v2`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from forebay.serving.access.principal import Action, Need
from forebay.serving.oip.bodies import describe, read_request, write_response
from forebay.serving.oip.errors import (
    InvalidRequest,
    MethodNotAllowed,
    UnknownModel,
    is_unexpected,
    render,
)
from forebay.serving.oip.inference import EXTENSIONS, SERVER, Inference
from forebay.serving.oip.needs import need_to_call
from forebay.serving.oip.openapi import describe as describe_routes
from forebay.serving.web.body import read_body
from forebay.serving.web.compression import compressed
from forebay.serving.web.headers import header
from forebay.serving.web.openapi import Described
from forebay.serving.web.response import Rendered, respond

log = structlog.get_logger("forebay.serve")

ROOT = "/v2"

JSON_LENGTH = b"inference-header-content-length"
"""The header with the length of the JSON where raw bytes follow it, before any compression."""

_Names = dict[str, str]
_Route = Callable[[_Names, Scope, bytes], Awaitable[Rendered]]

_MODEL = r"/v2/models/(?P<model>[^/]+)(/versions/(?P<version>[^/]+))?"
_REPOSITORY = r"/v2/repository(/[^/]+)?"


class RestRoutes:
    """All routes. Implements `MountedDoor`."""

    name = "oip"

    def __init__(self, inference: Inference, max_body_bytes: int) -> None:
        self._inference = inference
        self._max_body_bytes = max_body_bytes
        routes: list[tuple[str, str, _Route, str]] = [
            ("GET", "/v2/?", self._server, "ServerMetadata"),
            ("GET", "/v2/health/live", self._live, "ServerLive"),
            ("GET", "/v2/health/ready", self._ready, "ServerReady"),
            ("GET", "/v2/models", self._list, "RepositoryIndex"),
            ("GET", _MODEL, self._model, "ModelMetadata"),
            ("GET", f"{_MODEL}/ready", self._model_ready, "ModelReady"),
            ("POST", f"{_MODEL}/infer", self._infer, "ModelInfer"),
            ("POST", f"{_REPOSITORY}/index", self._index, "RepositoryIndex"),
            ("POST", rf"{_REPOSITORY}/models/(?P<model>[^/]+)/load", self._load, "RepositoryModelLoad"),
            ("POST", rf"{_REPOSITORY}/models/(?P<model>[^/]+)/unload", self._unload, "RepositoryModelUnload"),
        ]
        self._routes = [(method, re.compile(pattern), route, call) for method, pattern, route, call in routes]

    def need(self, path: str) -> Need | None:
        """See `Door`."""
        for _, pattern, _, call in self._routes:
            if found := pattern.fullmatch(path):
                return need_to_call(call, found.groupdict(default="").get("model", ""))
        return Need(Action.MODELS)

    def render(self, error: Exception) -> Rendered:
        """See `Door`."""
        return render(error)

    def describe(self) -> Described:
        """See `MountedDoor`."""
        return describe_routes(self._inference)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            route, names = self._route(scope)
            data = await read_body(scope, receive, self._max_body_bytes)
            if data is None:
                return
            answer = await route(names, scope, data)
        except Exception as error:
            if is_unexpected(error):
                log.error("request failed", path=scope["path"], exc_info=True)
            answer = render(error)
        await respond(answer, send)

    def _route(self, scope: Scope) -> tuple[_Route, _Names]:
        path = scope["path"]
        for method, pattern, route, _ in self._routes:
            if found := pattern.fullmatch(path):
                if scope["method"] != method:
                    raise MethodNotAllowed(path, method, scope["method"])
                return route, found.groupdict(default="")
        raise UnknownModel(f"there is no {path} in the protocol, or it is not supported")

    async def _server(self, _names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        return _json({"name": SERVER, "version": version("forebay"), "extensions": EXTENSIONS})

    async def _live(self, _names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        return _json({"live": True})

    async def _ready(self, _names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        ready = await self._inference.ready()
        return _json({"ready": ready}, 200 if ready else 503)

    async def _list(self, _names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        return _json({"models": list(self._inference.models)})

    async def _model(self, names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        return _json(describe(self._inference.model(names["model"], names["version"])))

    async def _model_ready(self, names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        model = self._inference.model(names["model"], names["version"])
        return _json({"name": model.name, "ready": True})

    async def _infer(self, names: _Names, scope: Scope, data: bytes) -> Rendered:
        asked = read_request(names["model"], names["version"], data, _json_length(scope))
        body, json_bytes = write_response(await self._inference.infer(asked.request), asked)
        headers = [] if json_bytes is None else [(JSON_LENGTH, str(json_bytes).encode())]
        content_type = b"application/json" if json_bytes is None else b"application/octet-stream"
        return compressed(Rendered(200, headers, body, content_type), scope)

    async def _index(self, _names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        # All that is listed is ready, so a client that wants to see what is ready alone sees the same.
        models = self._inference.models.values()
        return _json([{"name": model.name, "version": model.version, "state": "READY"} for model in models])

    async def _load(self, names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        self._inference.load(names["model"])
        return Rendered(200, [], b"")

    async def _unload(self, names: _Names, _scope: Scope, _data: bytes) -> Rendered:
        self._inference.unload(names["model"])
        return Rendered(200, [], b"")


def _json(body: Any, status: int = 200) -> Rendered:
    return Rendered(status, [], msgspec.json.encode(body))


def _json_length(scope: Scope) -> int | None:
    given = header(scope, JSON_LENGTH)
    if not given:
        return None
    if not given.isdecimal():
        raise InvalidRequest(
            f"the header Inference-Header-Content-Length is {given!r}: give the JSON's length in bytes"
        )
    return int(given)
