"""What the feature processor and the scorer ask of an online store."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol


class Outcome(enum.IntEnum):
    """The answer of a fenced write."""

    WRITTEN = 1
    BEHIND = 0
    """The stored row already contains later records: another processor wrote it. Reload and fold again."""
    ROLLED_BACK = -1
    """The stored row is older than the one folded onto, or absent. Where no erasure says that its entity was forgotten,
    the store lost writes: start again from progress."""
    FOREIGN = -2
    """The stored row belongs to another partition, or another incarnation of the topic."""
    FORGOTTEN = -3
    """The row is absent, and an erasure says that its entity was forgotten (see `contract.store.erasure`)."""


class RowWrite(NamedTuple):
    """One fenced write: all fields of one view of one entity, or none."""

    key: bytes
    expected_offset: int
    """Fence of the row that was folded onto; -1 if there was none; `Erasure.expected_offset` if its entity is known to
    be forgotten."""
    fields: list[bytes]
    """field, value, field, value ...; the first pair is the view's head."""
    values: Sequence[bytes] = ()
    """Of the fields whose names all writes of a call share; empty: they are held back, and stay as they are."""
    erasures: Sequence[bytes] = ()
    """Keys of the erasures that may forbid to begin the row; none are looked at where one was folded onto."""


class SharedBy(NamedTuple):
    """Which of several definitions may set the fields that they share."""

    key: bytes
    """Of the hash that says it; empty: any of them may."""
    field: bytes
    """Of that hash; who finds no such field there may set them."""
    definition: bytes
    """What its value contains, if it is this one."""


ANYONE = SharedBy(b"", b"", b"")


class Removal(NamedTuple):
    """Fields of one row to be removed, all or none."""

    key: bytes
    expected: tuple[bytes, bytes]
    """A head field, and what it must still hold."""
    fields: Sequence[bytes]
    """At least one."""
    progress_key: bytes = b""
    unless_progress: bytes = b""
    """A field: nothing is removed while that hash has it. Empty: whatever it has."""
    shared_by: SharedBy = ANYONE
    """Nothing is removed while its hash says that what definitions share is another one's."""


class Store(Protocol):
    """An online store. Not thread-safe: one instance per thread.

    Every method raises `StoreUnavailable` when the store can't be reached. The next call connects again. It raises
    `StoreRefused` when the store answers and refuses for a reason that does not pass.
    """

    @property
    def breaks(self) -> int:
        """How many connections were lost or given up. Where this has grown, the store may have come back with older
        data since, even if nobody has used it yet.
        """
        ...

    def read(self, requests: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """Per (key, fields), the fields' values; None where absent."""
        ...

    def send(
        self,
        writes: Iterable[RowWrite],
        names: Sequence[bytes] = (),
        expire_ms: int = 0,
        shared: SharedBy = ANYONE,
        held: bytes = b"",
    ) -> None:
        """Sends rows to be written: a compare-and-set of each, atomically per row. `answers` comes next.

        Until then the caller may do other work while the store does its own; whoever asks the store for anything else
        first gives up the answers, and the connection with them.

        Args:
            names: fields that every write with `values` sets to them, unless `shared` says that they are another
                definition's: then only its own ones.
            expire_ms: how long these live from now, or up to a 64th longer, where the server can do that; 0: until they
                are removed.
            shared: whose those fields are; looked up in the same step as the rows are written.
            held: what the keys of hashes begin with that name rows whose values are held back, by the partition of
                their heads (see `contract.store.keys.held_key`): in the same step a row is named there as it is
                written without values, and no more as it is written with them. Empty: nothing is noted. Nor is it
                without `names`, or where those fields are another definition's.
        """
        ...

    def answers(self) -> list[Outcome]:
        """Waits for what became of the rows that were sent, in their order.

        Raises:
            StoreUnavailable: any of them may have been written, or none.
        """
        ...

    def read_hash(self, key: bytes) -> dict[bytes, bytes]:
        """All fields of a hash."""
        ...

    def write_hash(self, key: bytes, fields: dict[bytes, bytes]) -> None:
        """Sets fields of a hash."""
        ...

    def write_hashes(self, hashes: Mapping[bytes, Mapping[bytes, bytes]]) -> None:
        """Sets fields of several hashes, in one round trip, hash by hash."""
        ...

    def replace_in_hash(self, key: bytes, field: bytes, expected: bytes, value: bytes) -> bool:
        """Sets a field of a hash if it has the expected value, atomically; whether it was done."""
        ...

    def raise_in_hash(self, key: bytes, field: bytes, value: int) -> None:
        """Sets a field of a hash to a whole number, in decimal digits, unless it is that high already; atomically."""
        ...

    def add_to_hash(self, key: bytes, field: bytes, value: bytes) -> bool:
        """Sets a field of a hash if it is absent, atomically; whether it was done."""
        ...

    def remove_unless_leased(self, key: bytes, fields: Sequence[bytes], leases_key: bytes) -> list[bytes]:
        """Removes fields of a hash that no lease names at this moment (see `contract.store.lease`), atomically.

        Returns:
            The fields that are gone now.
        """
        ...

    def now_ms(self) -> int:
        """The store's own clock, ms since the epoch."""
        ...

    def remove_from_hash(self, key: bytes, fields: Sequence[bytes]) -> None:
        """Removes fields of a hash, at least one; those that are absent already may be named."""
        ...

    def scan(self, ending: str, cursor: int) -> tuple[int, list[bytes]]:
        """The next cursor, and some of the hashes whose keys end so: from cursor 0 until it is 0 again.

        A key that is there all the time is found at least once.
        """
        ...

    def scan_hash(self, key: bytes, cursor: int) -> tuple[int, list[bytes]]:
        """The next cursor, and some fields of a hash: from cursor 0 until it is 0 again.

        A field that is there all the time is found at least once.
        """
        ...

    def ping(self) -> None:
        """Does nothing, if the store answers."""
        ...

    def close(self) -> None:
        """Gives up the connection; the next call opens another."""
        ...

    def remove(self, removals: Sequence[Removal]) -> list[bool]:
        """Compare-and-remove of each row, atomically per row; whether it was done."""
        ...
