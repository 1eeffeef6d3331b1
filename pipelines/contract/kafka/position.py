"""Names a record's position: topic, partition and offset."""

from __future__ import annotations

import re
from typing import NamedTuple

_PRINTED = re.compile(r"(.+)\[([0-9]{1,9})\]@([0-9]{1,18})")


class Position(NamedTuple):
    """A place in Kafka, printed as `topic[partition]@offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Parses a position; returns None for another text."""
        found = _PRINTED.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3])) if found else None
