"""Reads the rows of a store page by page, heads first: a head has tens of bytes, all tiles of a row have thousands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import decode_entity_key, head_field
from forebay.pipelines.contract.store.row_header import HEADER_BYTES, Header
from forebay.pipelines.feature_processor.walk.parts import TopicParts
from forebay.pipelines.steps.tile_state.row_codec import StoredRow


class Found(NamedTuple):
    """A row of the present incarnation of the topic."""

    key: bytes
    row: StoredRow
    header: Header

    def expected(self, view: StreamView) -> tuple[bytes, bytes]:
        """Returns what a row must still hold to be removed."""
        return head_field(view), self.row.head or b""


class Page(NamedTuple):
    """Some keys of rows."""

    entities: list[tuple[bytes, frozenset[str]]]
    """Each key with the names of its join keys."""

    def keys(self, view: StreamView) -> list[bytes]:
        """Selects the keys that may have a row of the view: those of its entities."""
        names = {key.name for key in view.join_keys}
        return [key for key, entity in self.entities if entity == names]


class Pages:
    """The keys of all rows of a project, some at a time."""

    def __init__(self, parts: TopicParts) -> None:
        self._parts = parts
        self._cursor = 0
        self._following = 0

    def read(self) -> Page:
        """Returns the present page. Raises `StoreUnavailable`; it can be read again."""
        self._following, keys = self._parts.store.scan(self._parts.project, self._cursor)
        entities = [(key, decode_entity_key(key, self._parts.project)) for key in keys]
        return Page([(key, frozenset(entity)) for key, entity in entities if entity is not None])

    def turn(self) -> bool:
        """Turns to the page after the one that was read; whether there is one."""
        self._cursor = self._following
        return bool(self._cursor)


def found_rows(parts: TopicParts, view: StreamView, keys: Sequence[bytes], fields: Sequence[bytes] = ()) -> list[Found]:
    """Returns the rows that these keys have of one definition of a view, whatever their partition.

    Args:
        fields: what is read of them, the head first; empty: the head alone.

    Raises:
        StoreUnavailable: they can't be read; it can be tried again.
    """
    cells = parts.store.read([(key, fields or (head_field(view),)) for key in keys])
    found = []
    for key, (head, *others) in zip(keys, cells, strict=True):
        if head is None or len(head) < HEADER_BYTES:
            continue
        header = Header.unpack(head)
        if header.incarnation == parts.incarnation.digest and header.fingerprint.hex() == view.fingerprint:
            found.append(Found(key, StoredRow(head, *(others or [None])), header))
    return found
