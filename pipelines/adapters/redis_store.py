"""The online store on Redis or Valkey: pipelined reads, and compare-and-set writes by one script."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipelines.adapters.redis_scripts import COMPARE_AND_REMOVE, COMPARE_AND_SET, REMOVE_UNLESS_LEASED, REPLACE_IN_HASH
from pipelines.adapters.store import ANYONE, Outcome, Removal, RowWrite, SharedBy
from pipelines.contract.topology import glob_literal
from pipelines.errors import SettingsError, StoreUnavailable

_SENT_AT_ONCE = 200
_SCANNED_AT_ONCE = 1_000
_SCRIPT_ROWS = 20
"""Rows of one script call: a call has its price, and holds up every other client while it runs."""
_SCRIPT_ARGUMENTS = 1_000
"""About so many of one call at most: rows with many features go fewer at a time."""
_OWN_ARGUMENTS = 9
"""Of a row beside its shared fields, at most: its key, expected offset, count, and head, closed tiles and ids by name
and value."""

_UNREACHABLE = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, redis.ReadOnlyError)


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
    """Implements `pipelines.adapters.store.Store` on one connection, re-made after every failure."""

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

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """See `Store.read`: one HMGET per request in one round trip."""
        return self._pipeline(("HMGET", key, *fields) for key, fields in requests)

    def write(
        self, writes: Iterable[RowWrite], names: Sequence[bytes] = (), expire_ms: int = 0, shared: SharedBy = ANYONE
    ) -> list[Outcome]:
        """See `Store.write`: a script call for some rows each, all in one round trip."""
        self._connect()
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
        self._connect()
        (reply,) = self._pipeline([("EVALSHA", self._replace_sha, 1, key, field, expected, value)])
        return bool(reply)

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
        self._connect()
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
            self.breaks += 1
        self._client.close()

    def _connect(self) -> None:
        if self._connection is not None:
            return
        try:
            self._connection = self._client.connection_pool.get_connection()
            self._set_sha = self._call("SCRIPT", "LOAD", COMPARE_AND_SET)
            self._remove_sha = self._call("SCRIPT", "LOAD", COMPARE_AND_REMOVE)
            self._replace_sha = self._call("SCRIPT", "LOAD", REPLACE_IN_HASH)
            self._expires = bool(self._call("COMMAND", "INFO", "HSETEX")[0])
        except (*_UNREACHABLE, redis.ResponseError) as error:
            raise self._unavailable(error) from error

    def _call(self, *command: Any) -> Any:
        self._connection.send_packed_command([hiredis.pack_command(command)])
        return self._connection.read_response()

    def _pipeline(self, commands: Iterable[tuple[Any, ...]], at_once: int = _SENT_AT_ONCE) -> list[Any]:
        self._connect()
        waiting = iter(commands)
        sent = 0
        try:
            # Sent bit by bit, so that the server works while the rest is still being encoded.
            while packed := [hiredis.pack_command(command) for command in itertools.islice(waiting, at_once)]:
                self._connection.send_packed_command([b"".join(packed)])
                sent += len(packed)
            return [self._connection.read_response() for _ in range(sent)]
        except (*_UNREACHABLE, redis.ResponseError) as error:
            # Replies may be left unread: this connection can't be used for anything else.
            raise self._unavailable(error) from error
        except BaseException:
            self.close()
            raise

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        where = self._client.connection_pool.connection_kwargs
        self.close()
        return StoreUnavailable(f"online store {where['host']}:{where['port']}: {error}")
