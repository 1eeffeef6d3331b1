"""The online store on Redis or Valkey: pipelined reads, and compare-and-set writes by one script."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from forebay.pipelines.adapters.online_store import ANYONE, Outcome, Removal, RowWrite, SharedBy
from forebay.pipelines.adapters.redis.errors import CLIENT_ERRORS, explained
from forebay.pipelines.adapters.redis.eviction import refuse_eviction
from forebay.pipelines.adapters.redis.read_slices import ReadSlices
from forebay.pipelines.adapters.redis.scripts import (
    COMPARE_AND_REMOVE,
    COMPARE_AND_SET,
    RAISE_IN_HASH,
    REMOVE_UNLESS_LEASED,
    REPLACE_IN_HASH,
)
from forebay.pipelines.contract.store.keys import glob_literal
from forebay.pipelines.errors import SettingsError, StoreRefused, StoreUnavailable

_SENT_AT_ONCE = 200
_SCANNED_AT_ONCE = 1_000
_SCRIPT_ROWS = 20
"""Rows of one script call: a call has its price, and holds up every other client while it runs."""
_SCRIPT_ARGUMENTS = 1_000
"""About so many of one call at most: rows with many features go fewer at a time."""
_OWN_ARGUMENTS = 9
"""Of a row beside its shared fields, at most: its key, expected offset, count, and head, closed tiles and ids by name
and value."""


_OPTIONS = frozenset(
    {"db", "password", "ssl", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_keyfile", "username"}
)


def parse_connection_string(connection: str) -> dict[str, Any]:
    """redis-py arguments of Feast's `host:port,db=0,password=...,ssl=true`.

    Raises:
        SettingsError: the string names no single host and port.
    """
    address, *options = connection.split(",")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or any("=" not in option for option in options):
        raise SettingsError(
            "the online store's connection string must read host:port[,option=value...]; clusters are not supported"
        )
    arguments: dict[str, Any] = {"host": host, "port": int(port)}
    for option in options:
        name, _, value = option.partition("=")
        if name not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise SettingsError(f"the online store's connection string has option {name!r}; known are {known}")
        if name == "db" and not value.isdigit():
            raise SettingsError("the online store's connection string: option db must be a number")
        arguments[name] = int(value) if name == "db" else value == "true" if name == "ssl" else value
    return arguments


class RedisStore:
    """Implements `forebay.pipelines.adapters.online_store.Store` on one connection, re-made after every failure."""

    def __init__(self, connection: str, timeout_s: float = 5.0) -> None:
        self._client = redis.Redis(
            **parse_connection_string(connection),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # A reconnect must be seen: the server may have come back with older data.
            retry=Retry(NoBackoff(), 0),
        )
        self._connection: Any = None
        self.breaks = 0
        self._set_sha = b""
        self._remove_sha = b""
        self._replace_sha = b""
        self._expires = False
        """Whether the server can let single fields of a hash expire as they are set."""
        self._tells_eviction = True
        self._slices = ReadSlices()

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """See `Store.read`: one HMGET per request; a round trip for so many as come back in some 4 MB."""
        return self._slices.read(requests, self._read_at_once)

    def _read_at_once(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        return self._pipeline(("HMGET", key, *fields) for key, fields in requests)

    def write(
        self, writes: Iterable[RowWrite], names: Sequence[bytes] = (), expire_ms: int = 0, shared: SharedBy = ANYONE
    ) -> list[Outcome]:
        """See `Store.write`: a script call for some rows each, all in one round trip."""
        self._load_scripts()
        common: list[bytes | int] = [expire_ms if self._expires else 0, len(names), *shared[1:], *names]
        replies = self._pipeline(self._calls(iter(writes), shared.key, common), at_once=1)
        return [Outcome(reply) for call in replies for reply in call]

    def _calls(
        self, writes: Iterator[RowWrite], shared_key: bytes, common: Sequence[bytes | int]
    ) -> Iterator[tuple[Any, ...]]:
        rows = max(1, min(_SCRIPT_ROWS, _SCRIPT_ARGUMENTS // (len(common) + _OWN_ARGUMENTS)))
        while some := list(itertools.islice(writes, rows)):
            call: list[Any] = ["EVALSHA", self._set_sha, len(some) + 1, *(write.key for write in some), shared_key]
            call += common
            for write in some:
                call += (write.expected_offset, len(write.fields), *write.fields, *write.values)
            yield tuple(call)

    def read_hash(self, key: bytes) -> dict[bytes, bytes]:
        """See `Store.read_hash`."""
        (flat,) = self._pipeline([("HGETALL", key)])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def write_hash(self, key: bytes, fields: dict[bytes, bytes]) -> None:
        """See `Store.write_hash`."""
        self.write_hashes({key: fields})

    def write_hashes(self, hashes: Mapping[bytes, Mapping[bytes, bytes]]) -> None:
        """See `Store.write_hashes`."""
        self._pipeline(
            ("HSET", key, *(part for pair in fields.items() for part in pair)) for key, fields in hashes.items()
        )

    def replace_in_hash(self, key: bytes, field: bytes, expected: bytes, value: bytes) -> bool:
        """See `Store.replace_in_hash`."""
        self._load_scripts()
        (reply,) = self._pipeline([("EVALSHA", self._replace_sha, 1, key, field, expected, value)])
        return bool(reply)

    def raise_in_hash(self, key: bytes, field: bytes, value: int) -> None:
        """See `Store.raise_in_hash`. Rare, so the script is sent with every call."""
        self._pipeline([("EVAL", RAISE_IN_HASH, 1, key, field, value)])

    def add_to_hash(self, key: bytes, field: bytes, value: bytes) -> bool:
        """See `Store.add_to_hash`."""
        (reply,) = self._pipeline([("HSETNX", key, field, value)])
        return bool(reply)

    def remove_unless_leased(self, key: bytes, fields: Sequence[bytes], leases_key: bytes) -> list[bytes]:
        """See `Store.remove_unless_leased`."""
        (gone,) = self._pipeline([("EVAL", REMOVE_UNLESS_LEASED, 2, key, leases_key, *fields)])
        return list(gone)

    def now_ms(self) -> int:
        """See `Store.now_ms`."""
        ((seconds, micros),) = self._pipeline([("TIME",)])
        return int(seconds) * 1_000 + int(micros) // 1_000

    def remove_from_hash(self, key: bytes, fields: Sequence[bytes]) -> None:
        """See `Store.remove_from_hash`."""
        self._pipeline([("HDEL", key, *fields)])

    def scan(self, ending: str, cursor: int) -> tuple[int, list[bytes]]:
        """See `Store.scan`."""
        pattern = b"*" + glob_literal(ending)
        ((following, keys),) = self._pipeline(
            [("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE, "TYPE", "hash")]
        )
        return int(following), keys

    def remove(self, removals: Sequence[Removal]) -> list[bool]:
        """See `Store.remove`: one script call per row, all in one round trip."""
        self._load_scripts()
        calls = (
            (
                *("EVALSHA", self._remove_sha, 3, each.key, each.progress_key, each.shared_by.key),
                *(*each.expected, each.unless_progress, *each.shared_by[1:], *each.fields),
            )
            for each in removals
        )
        return [bool(reply) for reply in self._pipeline(calls)]

    def ping(self) -> None:
        """Raises `StoreUnavailable` if the store does not answer."""
        self._pipeline([("PING",)])

    def close(self) -> None:
        """Closes the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None
            self._set_sha = b""
            self.breaks += 1
        self._client.close()

    def _connect(self) -> None:
        if self._connection is not None:
            return
        try:
            self._connection = self._client.connection_pool.get_connection()
            if self._tells_eviction:
                self._tells_eviction = refuse_eviction(self._call, self._address)
        except CLIENT_ERRORS as error:
            raise self._explained(error, "") from error
        except StoreRefused:
            self.close()
            raise

    def _load_scripts(self) -> None:
        """Before the first script on a connection: who only reads needs no permission for scripts."""
        self._connect()
        if self._set_sha:
            return
        try:
            remove = self._call("SCRIPT", "LOAD", COMPARE_AND_REMOVE)
            replace = self._call("SCRIPT", "LOAD", REPLACE_IN_HASH)
            self._expires = bool(self._call("COMMAND", "INFO", "HSETEX")[0])
            self._set_sha = self._call("SCRIPT", "LOAD", COMPARE_AND_SET)
        except CLIENT_ERRORS as error:
            raise self._explained(error, " to take Forebay's scripts") from error
        self._remove_sha, self._replace_sha = remove, replace

    def _call(self, *command: Any) -> Any:
        self._connection.send_packed_command([hiredis.pack_command(command)])
        return self._connection.read_response()

    def _pipeline(self, commands: Iterable[tuple[Any, ...]], at_once: int = _SENT_AT_ONCE) -> list[Any]:
        self._connect()
        waiting = iter(commands)
        sent: list[tuple[Any, ...]] = []
        answered = 0
        try:
            # Sent bit by bit, so that the server works while the rest is still being encoded.
            while some := list(itertools.islice(waiting, at_once)):
                self._connection.send_packed_command([b"".join(map(hiredis.pack_command, some))])
                sent += [command[:4] for command in some]
            replies = []
            for answered in range(len(sent)):  # noqa: B007 -- says which one failed
                replies.append(self._connection.read_response())
            return replies
        except CLIENT_ERRORS as error:
            # Replies may be left unread: this connection can't be used for anything else.
            raise self._explained(error, _asked(sent, answered)) from error
        except BaseException:
            self.close()
            raise

    @property
    def _address(self) -> str:
        where = self._client.connection_pool.connection_kwargs
        return f"{where['host']}:{where['port']}"

    def _explained(self, error: Exception, what: str) -> StoreUnavailable | StoreRefused:
        self.close()
        return explained(error, self._address, what)


def _asked(sent: Sequence[tuple[Any, ...]], at: int) -> str:
    """Of the commands sent, the one whose reply comes next, and the first key it names."""
    if at >= len(sent):
        return ""
    name, *arguments = sent[at]
    key = arguments[2:3] if name == "EVALSHA" else arguments[:1]
    return " ".join((f" {name}", *(repr(each) for each in key)))
