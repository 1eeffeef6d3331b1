"""Errors to HTTP answers: the only place that knows status codes."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from forebay.pipelines.errors import ForebayError, ModelError, RequestError, StoreRefused, StoreUnavailable
from forebay.serving.access.errors import Forbidden, KeysUnavailable, TooManyRequests, Unauthenticated
from forebay.serving.http.codec import MalformedBody
from forebay.serving.scoring.batching import Overloaded
from forebay.serving.web.compression import BodyTooLarge, CorruptBody, UnknownEncoding
from forebay.serving.web.response import Headers, Rendered

OK = 200


class MethodNotAllowed(ForebayError):
    """The hot routes take POST only."""


class HeadTooLarge(ForebayError):
    """Request line and headers are larger than the settings allow."""


class NotReady(ForebayError):
    """The endpoint can't answer questions now."""


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong, where, and what to do."""

    code: str
    message: str
    path: str = "$"
    """Where in the body."""


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorDetail


class _Row(NamedTuple):
    status: int
    code: str
    message: str | None = None
    """What the client reads instead of the error's own message, which may tell internals."""
    headers: Headers = []  # noqa: RUF012  # never changed


_RETRY: Headers = [(b"retry-after", b"1")]

_TABLE: dict[type[Exception], _Row] = {
    MalformedBody: _Row(400, "malformed_body"),
    CorruptBody: _Row(400, "corrupt_body"),
    Unauthenticated: _Row(401, "unauthorized", None, [(b"www-authenticate", b"Bearer")]),
    Forbidden: _Row(403, "forbidden"),
    MethodNotAllowed: _Row(405, "method_not_allowed", None, [(b"allow", b"POST")]),
    # The rest of the body is not read: the connection is of no further use.
    BodyTooLarge: _Row(413, "body_too_large", None, [(b"connection", b"close")]),
    UnknownEncoding: _Row(415, "unknown_encoding"),
    RequestError: _Row(422, "invalid_request"),
    TooManyRequests: _Row(429, "too_many_requests"),
    HeadTooLarge: _Row(431, "head_too_large", None, [(b"connection", b"close")]),
    ModelError: _Row(500, "model_failed", "the model failed on this request; the log of the server says why"),
    StoreUnavailable: _Row(503, "store_unavailable", "the online store does not answer; try again", _RETRY),
    StoreRefused: _Row(503, "store_refused", "the online store refuses this server; the log of the server says why"),
    Overloaded: _Row(503, "overloaded", None, _RETRY),
    KeysUnavailable: _Row(503, "keys_unavailable", None, _RETRY),
    NotReady: _Row(503, "not_ready", None, _RETRY),
}
UNEXPECTED = "an unexpected error; the log of the server says more"
"""What the client reads of a bug."""
_UNEXPECTED = _Row(500, "internal", UNEXPECTED)
_SURFACE_CODES = {404: "not_found", 405: "method_not_allowed"}


def render(error: Exception) -> Rendered:
    """Renders the HTTP answer to an error."""
    if isinstance(error, HTTPException):
        return _render_surface(error)
    row = next((_TABLE[each] for each in type(error).__mro__ if each in _TABLE), _UNEXPECTED)
    if isinstance(error, RequestError):
        detail = ErrorDetail(row.code, error.message, error.path)
    else:
        detail = ErrorDetail(row.code, row.message or str(error))
    return Rendered(row.status, row.headers, msgspec.json.encode(ErrorBody(detail)))


def _render_surface(error: HTTPException) -> Rendered:
    """Renders what FastAPI itself refuses: unknown routes and methods."""
    headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    detail = ErrorDetail(_SURFACE_CODES.get(error.status_code, "refused"), str(error.detail))
    return Rendered(error.status_code, headers, msgspec.json.encode(ErrorBody(detail)))


def is_unexpected(error: Exception) -> bool:
    """Tells whether the error is a bug, to be logged with its traceback."""
    return not isinstance(error, HTTPException) and not any(each in _TABLE for each in type(error).__mro__)


def documented_statuses() -> dict[str, str]:
    """Status -> codes, for the documentation of the hot routes."""
    found: dict[str, list[str]] = {}
    for row in (*_TABLE.values(), _UNEXPECTED):
        if row.code not in ("not_ready", "method_not_allowed"):
            found.setdefault(str(row.status), []).append(row.code)
    return {status: " or ".join(codes) for status, codes in found.items()}
