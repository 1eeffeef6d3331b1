"""The online store on Redis or Valkey: pipelined reads, and compare-and-set writes by one script."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from forebay.pipelines.adapters.online_store import ANYONE, Outcome, Removal, RowWrite, SharedBy
from forebay.pipelines.adapters.redis.connection import Connection
from forebay.pipelines.adapters.redis.errors import CLIENT_ERRORS
from forebay.pipelines.adapters.redis.read_slices import ReadSlices
from forebay.pipelines.adapters.redis.scripts import (
    COMPARE_AND_REMOVE,
    COMPARE_AND_SET,
    RAISE_IN_HASH,
    REMOVE_UNLESS_LEASED,
    REPLACE_IN_HASH,
)
from forebay.pipelines.contract.store.keys import glob_literal

_SCANNED_AT_ONCE = 1_000
_SCRIPT_ROWS = 20
"""Rows of one script call: a call has its price, and holds up every other client while it runs."""
_SCRIPT_ARGUMENTS = 1_000
"""About so many of one call at most: rows with many features go fewer at a time."""
_OWN_ARGUMENTS = 12
"""Of a row beside its shared fields, as a rule: its key, expected offset, counts, an erasure, and head, closed tiles
and ids by name and value."""


class RedisStore:
    """Implements `forebay.pipelines.adapters.online_store.Store` on one connection."""

    def __init__(self, connection: str, timeout_s: float = 5.0) -> None:
        self._connection = Connection(connection, timeout_s)
        self._loaded_at: int | None = None
        """How many connections were lost when the scripts were loaded; None: never."""
        self._set_sha = b""
        self._remove_sha = b""
        self._replace_sha = b""
        self._expires = False
        """Whether the server can let single fields of a hash expire as they are set."""
        self._slices = ReadSlices()

    @property
    def breaks(self) -> int:
        """See `Store.breaks`."""
        return self._connection.breaks

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """See `Store.read`: one HMGET per request; a round trip for so many as come back in some 4 MB."""
        return self._slices.read(requests, self._read_at_once)

    def _read_at_once(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        return self._connection.ask(("HMGET", key, *fields) for key, fields in requests)

    def send(
        self,
        writes: Iterable[RowWrite],
        names: Sequence[bytes] = (),
        expire_ms: int = 0,
        shared: SharedBy = ANYONE,
        held: bytes = b"",
    ) -> None:
        """See `Store.send`: a script call for some rows each."""
        self._load_scripts()
        common: list[bytes | int] = [expire_ms if self._expires else 0, len(names), *shared[1:], held, *names]
        self._connection.send(self._calls(iter(writes), shared.key, common), at_once=1)

    def answers(self) -> list[Outcome]:
        """See `Store.answers`."""
        return [Outcome(reply) for call in self._connection.replies() for reply in call]

    def _calls(
        self, writes: Iterator[RowWrite], shared_key: bytes, common: Sequence[bytes | int]
    ) -> Iterator[tuple[Any, ...]]:
        rows = max(1, min(_SCRIPT_ROWS, _SCRIPT_ARGUMENTS // (len(common) + _OWN_ARGUMENTS)))
        while some := list(itertools.islice(writes, rows)):
            call: list[Any] = ["EVALSHA", self._set_sha, len(some) + 1, *(write.key for write in some), shared_key]
            call += common
            for write in some:
                call += (write.expected_offset, len(write.erasures), len(write.fields), len(write.values))
                call += (*write.erasures, *write.fields, *write.values)
            yield tuple(call)

    def read_hash(self, key: bytes) -> dict[bytes, bytes]:
        """See `Store.read_hash`."""
        (flat,) = self._connection.ask([("HGETALL", key)])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def write_hash(self, key: bytes, fields: dict[bytes, bytes]) -> None:
        """See `Store.write_hash`."""
        self.write_hashes({key: fields})

    def write_hashes(self, hashes: Mapping[bytes, Mapping[bytes, bytes]]) -> None:
        """See `Store.write_hashes`."""
        self._connection.ask(
            ("HSET", key, *(part for pair in fields.items() for part in pair)) for key, fields in hashes.items()
        )

    def replace_in_hash(self, key: bytes, field: bytes, expected: bytes, value: bytes) -> bool:
        """See `Store.replace_in_hash`."""
        self._load_scripts()
        (reply,) = self._connection.ask([("EVALSHA", self._replace_sha, 1, key, field, expected, value)])
        return bool(reply)

    def raise_in_hash(self, key: bytes, field: bytes, value: int) -> None:
        """See `Store.raise_in_hash`. Rare, so the script is sent with every call."""
        self._connection.ask([("EVAL", RAISE_IN_HASH, 1, key, field, value)])

    def add_to_hash(self, key: bytes, field: bytes, value: bytes) -> bool:
        """See `Store.add_to_hash`."""
        (reply,) = self._connection.ask([("HSETNX", key, field, value)])
        return bool(reply)

    def remove_unless_leased(self, key: bytes, fields: Sequence[bytes], leases_key: bytes) -> list[bytes]:
        """See `Store.remove_unless_leased`."""
        (gone,) = self._connection.ask([("EVAL", REMOVE_UNLESS_LEASED, 2, key, leases_key, *fields)])
        return list(gone)

    def now_ms(self) -> int:
        """See `Store.now_ms`."""
        ((seconds, micros),) = self._connection.ask([("TIME",)])
        return int(seconds) * 1_000 + int(micros) // 1_000

    def remove_from_hash(self, key: bytes, fields: Sequence[bytes]) -> None:
        """See `Store.remove_from_hash`."""
        self._connection.ask([("HDEL", key, *fields)])

    def scan(self, ending: str, cursor: int) -> tuple[int, list[bytes]]:
        """See `Store.scan`."""
        pattern = b"*" + glob_literal(ending)
        ((following, keys),) = self._connection.ask(
            [("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE, "TYPE", "hash")]
        )
        return int(following), keys

    def scan_hash(self, key: bytes, cursor: int) -> tuple[int, list[bytes]]:
        """See `Store.scan_hash`."""
        ((following, pairs),) = self._connection.ask([("HSCAN", key, cursor, "COUNT", _SCANNED_AT_ONCE)])
        return int(following), pairs[::2]

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
        return [bool(reply) for reply in self._connection.ask(calls)]

    def ping(self) -> None:
        """Raises `StoreUnavailable` if the store does not answer."""
        self._connection.ask([("PING",)])

    def close(self) -> None:
        """Closes the connection; the next call opens another."""
        self._connection.close()

    def _load_scripts(self) -> None:
        """Loads scripts before the first one on a connection: who only reads needs no permission for them."""
        self._connection.connect()
        if self._loaded_at == self.breaks:
            return
        call = self._connection.call
        try:
            self._remove_sha = call("SCRIPT", "LOAD", COMPARE_AND_REMOVE)
            self._replace_sha = call("SCRIPT", "LOAD", REPLACE_IN_HASH)
            self._expires = bool(call("COMMAND", "INFO", "HSETEX")[0])
            self._set_sha = call("SCRIPT", "LOAD", COMPARE_AND_SET)
        except CLIENT_ERRORS as error:
            raise self._connection.explained(error, " to take Forebay's scripts") from error
        self._loaded_at = self.breaks
