"""Which definition of a view is published: written where the Feast SDK reads, and what Forebay's readers switch to.

A changed definition is computed beside the one before until it has caught up. Per partition, one field of the
progress hash names the published one; whoever reads the partition's records takes it over.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipelines.contract.plan import StreamView
from pipelines.contract.topology import published_field


class Publication(msgspec.Struct, frozen=True):
    """The published definition of one view on one partition."""

    fingerprint: str
    """Of the view."""
    complete: bool = True
    """Whether rows that were written before it was published have been published too."""
    unpublished: int = 0
    """Grows with every batch that another process wrote without publishing it: whoever publishes the rest would not
    notice those that came after it had looked."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Publication)


def encode_publication(publication: Publication) -> bytes:
    """The stored form."""
    return _encoder.encode(publication)


def decode_publication(data: bytes) -> Publication:
    """The stored form, read back (`msgspec.DecodeError` if it is none)."""
    return _decoder.decode(data)


def is_published(stored: Mapping[bytes, bytes], view: StreamView) -> bool:
    """Whether a progress hash names this very definition of a view as the published one."""
    data = stored.get(published_field(view))
    return data is not None and decode_publication(data).fingerprint == view.fingerprint
