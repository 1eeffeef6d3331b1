"""Asks a schema registry over HTTP for schemas by id, once for each."""

from __future__ import annotations

import http
import ssl
import time
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from cachetools import TTLCache

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


class SchemaRegistry:
    """A registry that speaks Confluent's interface, asked by Confluent's client. One instance per thread."""

    def __init__(self, address: str, timeout_s: float = 3.0, now_s: Callable[[], float] = time.monotonic) -> None:
        """Args:
            address: http(s)://[user:password@]host[:port][/path].
            timeout_s: for connecting, and again for every part of an answer.
            now_s: a monotonic clock.

        Raises:
            SettingsError: it is no such address.
        """
        parts = _parts(address)
        host = parts.netloc.rpartition("@")[2]
        self._address = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        # No retries inside of the client: its callers wait for a registry as for the store, and can be stopped.
        properties: dict[str, Any] = {"url": self._address, "timeout": timeout_s, "max.retries": 0}
        if parts.username is not None:
            properties["basic.auth.user.info"] = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        if authorities := _certificate_authorities():
            properties["ssl.ca.location"] = authorities
        self._confluent = _import_confluent()
        self._client = self._confluent.SchemaRegistryClient(properties)
        self._unknown: TTLCache[int, str] = TTLCache(_MAX_UNKNOWN, ASK_AGAIN_S, timer=now_s)
        """By id: why there is no schema."""

    def schema(self, schema_id: int) -> str:
        """Returns the Avro schema of this id, as JSON.

        Raises:
            SchemasUnavailable: the registry does not answer, or not as one does.
            DecodeError: it knows no such id, or a schema that can't be used.
        """
        if (reason := self._unknown.get(schema_id)) is not None:
            raise DecodeError(reason)
        try:
            return self._usable(self._ask(self._client.get_schema, schema_id), str(schema_id))
        except DecodeError as error:
            self._unknown[schema_id] = str(error)
            raise

    def latest(self, subject: str) -> tuple[int, str]:
        """Returns id and Avro schema of a subject's newest version, which a producer would write with.

        Raises:
            SchemasUnavailable: the registry does not answer, or not as one does.
            SettingsError: it has no such subject, or a schema that can't be used.
        """
        which = f"of {subject!r}"
        try:
            answer = self._ask(self._client.get_latest_version, subject, which)
            return answer.schema_id, self._usable(answer.schema, which)
        except DecodeError as error:
            raise SettingsError(f"schema registry: {error}") from error

    def _ask(self, question: Callable[..., Any], about: int | str, which: str = "") -> Any:
        which = which or str(about)
        try:
            return question(about)
        except self._confluent.SchemaRegistryError as error:
            if error.http_status_code == http.HTTPStatus.NOT_FOUND and error.error_code in _NOT_FOUND:
                raise DecodeError(
                    f"schema {which} is unknown to {self._address}; produce with a registered one"
                ) from None
            raise self._unavailable(f"HTTP {error.http_status_code} for schema {which}") from None
        except Exception as error:
            # httpx's errors, and what the client meets in an answer that it takes for a registry's: no JSON, no object.
            raise self._unavailable(f"its answer for schema {which}: {error}") from error

    def _usable(self, schema: Any, which: str) -> str:
        """Returns the text of Confluent's `Schema`.

        Raises:
            SchemasUnavailable: it holds none, so no registry has given it.
            DecodeError: it can't be used.
        """
        if not isinstance(schema.schema_str, str):
            self._client.clear_caches()  # else it would give the same answer for ever
            raise self._unavailable(f"its answer for schema {which} holds no schema")
        if len(schema.schema_str) > MAX_SCHEMA_BYTES:
            raise DecodeError(f"schema {which} is larger than {MAX_SCHEMA_BYTES} bytes; produce with a smaller one")
        if schema.schema_type != "AVRO":
            raise DecodeError(f"schema {which} is of type {schema.schema_type}, not AVRO; produce with the source's")
        if schema.references:
            raise DecodeError(f"schema {which} refers to others, which is not supported; register it in one piece")
        return schema.schema_str

    def _unavailable(self, reason: str) -> SchemasUnavailable:
        return SchemasUnavailable(f"schema registry {self._address}: {reason}; check {ADDRESS_VARIABLE}")


def _import_confluent() -> Any:
    """Imports Confluent's client only where a registry is used: the import takes some 0.7 s."""
    with warnings.catch_warnings(record=True):
        # authlib tells the client's authors which httpx it prefers; users of Forebay can do nothing about it.
        warnings.simplefilter("ignore")
        from confluent_kafka import schema_registry
    return schema_registry


def _certificate_authorities() -> str | None:
    """Finds the certificate authorities that the machine trusts, a company's own included; the client trusts only
    certifi's.
    """
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath


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


def schemas_of(source: Source, address: str) -> SchemaRegistry | None:
    """Returns the registry of a source's schemas; None where its events need none, or no registry is set.

    Raises:
        SettingsError: the address is none.
    """
    return SchemaRegistry(address) if address and needs_schemas(source) else None
