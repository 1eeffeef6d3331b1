"""Selects letters by reason, by the position of the refused record, and by time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from forebay.dead_letters.letter import Letter
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.errors import SettingsError

_SPAN = re.compile(r"(.+)\[([0-9]{1,9})\](?:@([0-9]{1,18})(?:-([0-9]{1,18}))?)?")


class Span(msgspec.Struct, frozen=True):
    """A range of offsets of one partition."""

    topic: str
    partition: int
    first: int
    last: int
    """Included."""

    @classmethod
    def parse(cls, text: str) -> Span:
        """Raises `SettingsError`: the text names no positions."""
        found = _SPAN.fullmatch(text)
        if found is None:
            raise SettingsError(
                f"{text!r} names no positions: write topic[partition], topic[partition]@offset or "
                "topic[partition]@first-last"
            )
        first = int(found[3] or 0)
        last = int(found[4]) if found[4] else first if found[3] else 2**63 - 1
        return cls(found[1], int(found[2]), first, last)

    def __contains__(self, at: Position) -> bool:
        """Returns whether a position is in the range."""
        return (at.topic, at.partition) == (self.topic, self.partition) and self.first <= at.offset <= self.last


class Selection(msgspec.Struct, frozen=True):
    """The conditions on a letter; an empty one holds for every letter."""

    reasons: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    """Of the records that were refused, on the topics they were read from."""
    since_ms: int | None = None
    """Letters written then or later."""
    until_ms: int | None = None
    """Letters written before."""

    @classmethod
    def made(
        cls, reasons: Sequence[str], positions: Sequence[str], since_ms: int | None, until_ms: int | None
    ) -> Selection:
        """Builds the selection from options of the command line. Raises `SettingsError` as `Span.parse`."""
        return cls(tuple(reasons), tuple(Span.parse(each) for each in positions), since_ms, until_ms)

    def __contains__(self, letter: Letter) -> bool:
        """Returns whether a letter meets all conditions."""
        if self.reasons and letter.reason not in self.reasons:
            return False
        if self.since_ms is not None and letter.written_ms < self.since_ms:
            return False
        if self.until_ms is not None and letter.written_ms >= self.until_ms:
            return False
        if not self.spans:
            return True
        at = letter.refused_at
        return at is not None and any(at in span for span in self.spans)
