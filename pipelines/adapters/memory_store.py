"""An online store in memory, keeping every promise of the real one (the same contract tests run on both)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from forebay.pipelines.adapters.online_store import ANYONE, Outcome, Removal, RowWrite, SharedBy
from forebay.pipelines.contract.store.erasure import AT, fence_of, place_of
from forebay.pipelines.contract.store.lease import leased
from forebay.pipelines.contract.store.row_header import IDENTITY, Header
from forebay.pipelines.errors import StoreUnavailable

_PAGE = 10
"""Keys of one page of a scan: few, so that walks in tests have several."""


class MemoryStore:
    """Implements `forebay.pipelines.adapters.online_store.Store` in a dictionary."""

    def __init__(self) -> None:
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self._deadlines: dict[bytes, dict[bytes, float]] = {}
        self._outcomes: list[Outcome] | None = None
        self._scanned: list[bytes] = []
        """Fields of the hash whose scan was begun last."""
        self.breaks = 0

    def _give_up_answers(self) -> None:
        """As the real store, whose answers stand in the way of all others on its connection."""
        if self._outcomes is not None:
            self._outcomes = None
            self.breaks += 1

    def _expire(self, key: bytes) -> None:
        deadlines = self._deadlines.get(key, {})
        for field in [field for field, deadline in deadlines.items() if deadline <= time.monotonic()]:
            del deadlines[field]
            self.hashes.get(key, {}).pop(field, None)

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """See `Store.read`."""
        self._give_up_answers()
        empty: dict[bytes, bytes] = {}
        for key, _ in requests:
            self._expire(key)
        return [[self.hashes.get(key, empty).get(field) for field in fields] for key, fields in requests]

    def send(
        self,
        writes: Iterable[RowWrite],
        names: Sequence[bytes] = (),
        expire_ms: int = 0,
        shared: SharedBy = ANYONE,
        held: bytes = b"",
    ) -> None:
        """See `Store.send`: they are written at once."""
        self._give_up_answers()
        if not names or self._is_of_another(shared):
            names, held = (), b""
        self._outcomes = []
        for write in writes:
            self._outcomes.append(self._write(write, names, expire_ms))
            if held and self._outcomes[-1] is Outcome.WRITTEN:
                self._note_held(held, write)

    def answers(self) -> list[Outcome]:
        """See `Store.answers`."""
        if self._outcomes is None:
            raise StoreUnavailable("the answers were given up")
        outcomes, self._outcomes = self._outcomes, None
        return outcomes

    def _is_of_another(self, shared: SharedBy) -> bool:
        said = self.hashes.get(shared.key, {}).get(shared.field)
        return said is not None and shared.definition not in said

    def _write(self, write: RowWrite, names: Sequence[bytes], expire_ms: int) -> Outcome:
        outcome = self._outcome(write)
        if outcome is not Outcome.WRITTEN:
            return outcome
        pairs = dict(zip(write.fields[::2], write.fields[1::2], strict=True))
        if write.values:
            pairs |= dict(zip(names, write.values if names else (), strict=True))
        self._set(write.key, pairs)
        if expire_ms and write.values:
            deadline = time.monotonic() + expire_ms / 1_000
            self._deadlines.setdefault(write.key, {}).update(dict.fromkeys(names, deadline))
        return Outcome.WRITTEN

    def _note_held(self, held: bytes, write: RowWrite) -> None:
        key = held + str(Header.unpack(write.fields[1]).partition).encode()
        if write.values:
            self.remove_from_hash(key, [write.key])
        else:
            self._set(key, {write.key: b""})

    def _outcome(self, write: RowWrite) -> Outcome:
        head_field, head = write.fields[:2]
        stored = self.hashes.get(write.key, {}).get(head_field)
        if stored is None:
            return self._outcome_of_absent(write)
        offset = -1
        if stored[IDENTITY] == head[IDENTITY]:
            old, new = Header.unpack(stored), Header.unpack(head)
            if (old.incarnation, old.partition) != (new.incarnation, new.partition):
                return Outcome.FOREIGN
            offset = old.offset
        if offset == write.expected_offset:
            return Outcome.WRITTEN
        return Outcome.BEHIND if offset > write.expected_offset else Outcome.ROLLED_BACK

    def _outcome_of_absent(self, write: RowWrite) -> Outcome:
        if write.expected_offset >= 0:
            return Outcome.ROLLED_BACK
        times = [int(self.hashes[key][AT]) for key in write.erasures if key in self.hashes]
        return Outcome.FORGOTTEN if times and write.expected_offset != -2 - max(times) else Outcome.WRITTEN

    def remember_erasure(self, key: bytes, offsets: Mapping[bytes, bytes]) -> None:
        """Remembers an erasure as `forebay.pipelines.adapters.redis.forgotten.remember_erasure` does, for ever."""
        known = self.hashes.get(key, {})
        at = max(self.now_ms(), int(known.get(AT, -1)) + 1)
        raised = {place: max(offset, known.get(place, b"")) for place, offset in offsets.items()}
        self._set(key, {AT: str(at).encode(), **raised})

    def forget(self, key: bytes, erasure: bytes) -> None:
        """Removes a row as `forebay.pipelines.adapters.redis.forgotten.forget_rows` does."""
        kept = dict(self.hashes[erasure])
        for field, head in self.hashes.pop(key, {}).items():
            if field.startswith(b"_fb:"):
                kept[place_of(head)] = max(kept.get(place_of(head), b""), fence_of(head))
        self._set(erasure, kept)

    def read_hash(self, key: bytes) -> dict[bytes, bytes]:
        """See `Store.read_hash`."""
        self._give_up_answers()
        self._expire(key)
        return dict(self.hashes.get(key, {}))

    def write_hash(self, key: bytes, fields: dict[bytes, bytes]) -> None:
        """See `Store.write_hash`."""
        self._give_up_answers()
        self._set(key, fields)

    def write_hashes(self, hashes: Mapping[bytes, Mapping[bytes, bytes]]) -> None:
        """See `Store.write_hashes`."""
        for key, fields in hashes.items():
            self.write_hash(key, dict(fields))

    def _set(self, key: bytes, fields: dict[bytes, bytes]) -> None:
        self.hashes.setdefault(key, {}).update(fields)
        for field in fields:
            self._deadlines.get(key, {}).pop(field, None)

    def replace_in_hash(self, key: bytes, field: bytes, expected: bytes, value: bytes) -> bool:
        """See `Store.replace_in_hash`."""
        if self.hashes.get(key, {}).get(field) != expected:
            return False
        self._set(key, {field: value})
        return True

    def raise_in_hash(self, key: bytes, field: bytes, value: int) -> None:
        """See `Store.raise_in_hash`."""
        stored = self.hashes.get(key, {}).get(field)
        if stored is None or int(stored) < value:
            self._set(key, {field: str(value).encode()})

    def add_to_hash(self, key: bytes, field: bytes, value: bytes) -> bool:
        """See `Store.add_to_hash`."""
        if field in self.hashes.get(key, {}):
            return False
        self._set(key, {field: value})
        return True

    def remove_unless_leased(self, key: bytes, fields: Sequence[bytes], leases_key: bytes) -> list[bytes]:
        """See `Store.remove_unless_leased`."""
        held = leased(self.hashes.get(leases_key, {}).values(), self.now_ms())
        gone = [field for field in fields if field not in held]
        self.remove_from_hash(key, gone)
        return gone

    def now_ms(self) -> int:
        """See `Store.now_ms`."""
        return time.time_ns() // 1_000_000

    def remove_from_hash(self, key: bytes, fields: Sequence[bytes]) -> None:
        """See `Store.remove_from_hash`."""
        for field in fields:
            self.hashes.get(key, {}).pop(field, None)

    def scan(self, ending: str, cursor: int) -> tuple[int, list[bytes]]:
        """See `Store.scan`."""
        following, page = _page(list(self.hashes), cursor)
        return following, [key for key in page if key.endswith(ending.encode())]

    def scan_hash(self, key: bytes, cursor: int) -> tuple[int, list[bytes]]:
        """See `Store.scan_hash`."""
        if not cursor:
            self._scanned = list(self.hashes.get(key, {}))  # fields that go between two pages must not move others
        return _page(self._scanned, cursor)

    def ping(self) -> None:
        """See `Store.ping`."""

    def close(self) -> None:
        """See `Store.close`."""

    def remove(self, removals: Sequence[Removal]) -> list[bool]:
        """See `Store.remove`."""
        return [self._remove(each) for each in removals]

    def _remove(self, removal: Removal) -> bool:
        head_field, head = removal.expected
        if self.hashes.get(removal.key, {}).get(head_field) != head:
            return False
        if removal.unless_progress and removal.unless_progress in self.hashes.get(removal.progress_key, {}):
            return False
        if self._is_of_another(removal.shared_by):
            return False
        self.remove_from_hash(removal.key, removal.fields)
        return True


def _page(of: Sequence[bytes], cursor: int) -> tuple[int, list[bytes]]:
    following = cursor + _PAGE
    return following if following < len(of) else 0, list(of[cursor:following])
