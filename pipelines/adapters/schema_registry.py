"""The schema registry: schemas by id, over HTTP, asked once for each."""

from __future__ import annotations

import base64
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

import msgspec

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import DecodeError, SchemasUnavailable, SettingsError
from forebay.pipelines.steps.decode.decoder import needs_schemas

ADDRESS_VARIABLE = "FOREBAY_SCHEMA_REGISTRY"

MAX_SCHEMA_BYTES = 1 << 20
ASK_AGAIN_S = 30.0
"""For how long an id stays unknown: a schema registered after its first events is found after this."""
_MAX_UNKNOWN = 10_000
_NOT_FOUND = (40_401, 40_403)
"""The registry's own codes, of a subject and of a schema; a 404 without one is something else's at that address."""


class _Answer(msgspec.Struct):
    """What the registry says of a schema."""

    schema: str
    schema_type: str = msgspec.field(name="schemaType", default="AVRO")
    references: list[Any] = []


Answer = TypeVar("Answer", bound=_Answer)


class _Version(_Answer):
    """What the registry says of a subject's newest schema."""

    id: int = 0


class _Refusal(msgspec.Struct):
    """What the registry says instead."""

    error_code: int


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like another: the password goes to nobody else."""

    def redirect_request(self, *_args: Any, **_options: Any) -> None:
        """None: the redirect is raised as an error."""


class SchemaRegistry:
    """A registry that speaks Confluent's interface. Not thread-safe: one instance per thread."""

    def __init__(self, address: str, timeout_s: float = 3.0, now_s: Callable[[], float] = time.monotonic) -> None:
        """Args:
            address: http(s)://[user:password@]host[:port][/path].

        Raises:
            SettingsError: it is no such address.
        """
        parts = _parts(address)
        host = parts.netloc.rpartition("@")[2]
        self._address = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._schemas: dict[int, str] = {}
        self._unknown: dict[int, tuple[str, float]] = {}
        """By id: why there is no schema, and until when nobody asks again."""

    def schema(self, schema_id: int) -> str:
        """The Avro schema of this id, as JSON.

        Raises:
            SchemasUnavailable: the registry does not answer, or not as one does.
            DecodeError: it knows no such id, or a schema that can't be used.
        """
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        reason, until_s = self._unknown.get(schema_id, ("", 0.0))
        if reason and self._now_s() < until_s:
            raise DecodeError(reason)
        try:
            found = self._schemas[schema_id] = self._ask(schema_id)
        except DecodeError as error:
            if len(self._unknown) >= _MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = (str(error), self._now_s() + ASK_AGAIN_S)
            raise
        return found

    def latest(self, subject: str) -> tuple[int, str]:
        """Id and Avro schema of a subject's newest version, which a producer would write with.

        Raises:
            SchemasUnavailable: the registry does not answer, or not as one does.
            SettingsError: it has no such subject, or a schema that can't be used.
        """
        try:
            answer = self._answer(f"/subjects/{quote(subject, safe='')}/versions/latest", f"of {subject!r}", _Version)
        except DecodeError as error:
            raise SettingsError(f"schema registry: {error}") from error
        return answer.id, answer.schema

    def _ask(self, schema_id: int) -> str:
        return self._answer(f"/schemas/ids/{schema_id}", str(schema_id), _Answer).schema

    def _answer(self, path: str, which: str, kind: type[Answer]) -> Answer:
        body = self._get(path, which)
        if len(body) > MAX_SCHEMA_BYTES:
            raise DecodeError(f"schema {which} is larger than {MAX_SCHEMA_BYTES} bytes; produce with a smaller one")
        try:
            answer = msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._unavailable(f"its answer for schema {which} is none: {error}") from error
        if answer.schema_type != "AVRO":
            raise DecodeError(f"schema {which} is of type {answer.schema_type}, not AVRO; produce with the source's")
        if answer.references:
            raise DecodeError(f"schema {which} refers to others, which is not supported; register it in one piece")
        return answer

    def _get(self, path: str, which: str) -> bytes:
        request = urllib.request.Request(self._address + path, headers=self._headers)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                content: bytes = response.read(MAX_SCHEMA_BYTES + 1)
                return content
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.NOT_FOUND and _says_not_found(error):
                    raise DecodeError(
                        f"schema {which} is unknown to {self._address}; produce with a registered one"
                    ) from None
            raise self._unavailable(f"HTTP {error.code} for schema {which}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a host that is no name
            raise self._unavailable(str(error)) from error

    def _unavailable(self, reason: str) -> SchemasUnavailable:
        return SchemasUnavailable(f"schema registry {self._address}: {reason}; check {ADDRESS_VARIABLE}")


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        # Without the address itself: it may hold a password.
        raise SettingsError(
            f"{ADDRESS_VARIABLE} is no address of a schema registry; write http(s)://[user:password@]host[:port]"
        )
    return parts


def _says_not_found(error: urllib.error.HTTPError) -> bool:
    try:
        return msgspec.json.decode(error.read(MAX_SCHEMA_BYTES), type=_Refusal).error_code in _NOT_FOUND
    except (msgspec.DecodeError, UnicodeDecodeError, OSError, http.client.HTTPException):
        return False


def schemas_of(source: Source, address: str) -> SchemaRegistry | None:
    """The registry to ask for the schemas of a source's events; None where nobody is, or need be, asked.

    Raises:
        SettingsError: the address is none.
    """
    return SchemaRegistry(address) if address and needs_schemas(source) else None
