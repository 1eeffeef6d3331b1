"""Defines publications: the definition of a view with the values that the Feast SDK reads, and that scorers use.

A changed definition is computed beside the former one, and published once it is ready on all partitions. One hash for
each view holds:

    key         forebay:published:<project>:<view>
    definition  `Publication`: replaced by compare-and-set, never by one of an older plan
    <topic>:<partition>
                `PublishedRows`: whether all rows of that partition have been published with it
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from forebay.pipelines.contract.plan.views import StreamView

DEFINITION = b"definition"
"""The field that names the published definition."""


class Publication(msgspec.Struct, frozen=True):
    """The published definition of one view."""

    fingerprint: str
    """Of the view."""
    generation: int = 0
    """Of the newest plan that is known to have this definition."""


class PublishedRows(msgspec.Struct, frozen=True):
    """How far the rows of one partition, written before their definition was published, have been published too."""

    fingerprint: str
    """Of the view."""
    complete: bool = False
    """Whether all of them have."""
    withdrawn: bool = False
    """Whether none of them is, since the view is declared to be published never; not even what was there before."""
    unpublished: int = 0
    """Counts the batches that another process wrote without publishing them, so the process that publishes the rest
    notices those that come after it has looked."""


def publication_key(project: str, view: str) -> bytes:
    """Returns the key of a view's hash."""
    return f"forebay:published:{project}:{view}".encode()


def rows_field(topic: str, partition: int) -> bytes:
    """Returns the field of that hash that belongs to one partition."""
    return f"{topic}:{partition}".encode()


_encoder = msgspec.msgpack.Encoder()
_definitions = msgspec.msgpack.Decoder(Publication)
_rows = msgspec.msgpack.Decoder(PublishedRows)


def encode_publication(publication: Publication | PublishedRows) -> bytes:
    """Returns the stored form."""
    return _encoder.encode(publication)


def decode_publication(stored: Mapping[bytes, bytes]) -> Publication | None:
    """Decodes a view's hash; None if nothing is published yet. Raises `msgspec.DecodeError` if it can't be read."""
    data = stored.get(DEFINITION)
    return None if data is None else _definitions.decode(data)


def decode_published_rows(data: bytes) -> PublishedRows:
    """Returns the stored form, read back (`msgspec.DecodeError` if it is none)."""
    return _rows.decode(data)


def is_published(stored: Mapping[bytes, bytes], view: StreamView) -> bool:
    """Returns whether a view's hash names this definition."""
    publication = decode_publication(stored)
    return publication is not None and publication.fingerprint == view.fingerprint
