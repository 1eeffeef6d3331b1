"""Tells whether a consumer's group metadata says that it is a member."""

from __future__ import annotations

import sys

_PREFIX = b"CGMDv2:"
_GENERATION = slice(len(_PREFIX), len(_PREFIX) + 4)


def is_member(metadata: bytes) -> bool:
    """Tells whether librdkafka knows a generation: it does not before the consumer joins, and after the group removed
    it.

    A broker commits offsets in a transaction without looking at the group where no generation is given (old producers
    gave none), so such a commit would take back what the partition's next owner has committed.

    Args:
        metadata: as `Consumer.consumer_group_metadata` gives it: the library's own form, of which only the generation
            is read. A form that is not known counts as a member's: the broker decides.
    """
    if not metadata.startswith(_PREFIX):
        return True
    return int.from_bytes(metadata[_GENERATION], sys.byteorder, signed=True) >= 0
