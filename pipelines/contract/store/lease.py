"""Defines leases on definitions that scorers read, so that the state of a definition in use is not removed.

One hash per project, with one field per scorer:

    key     forebay:leases:<project>
    field   the scorer's name
    value   lines of text: until when the lease holds, in ms of the store's own clock; then a definition per line,
            called `<view>@<fingerprint>` as in progress hashes

It is text because the store's script reads it where progress is removed. A scorer that was killed does not renew its
lease, which lapses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """The definitions that one scorer reads."""

    until_ms: int
    """ms of the store's clock; the lease has expired after it."""
    definitions: frozenset[bytes]
    """Names as of `topology.progress_field`."""


def leases_key(project: str) -> bytes:
    """Returns the key of a project's hash."""
    return f"forebay:leases:{project}".encode()


def encode_lease(lease: Lease) -> bytes:
    """Encodes a lease."""
    return b"\n".join([str(lease.until_ms).encode(), *sorted(lease.definitions)])


def decode_lease(data: bytes) -> Lease:
    """Decodes a lease. Raises `ValueError` for other bytes."""
    until_ms, *definitions = data.split(b"\n")
    return Lease(int(until_ms), frozenset(definitions))


def leased(stored: Iterable[bytes], now_ms: int) -> Collection[bytes]:
    """Returns the definitions that a lease which has not expired names.

    Args:
        now_ms: by the store's clock.
    """
    leases = map(decode_lease, stored)
    return frozenset(name for lease in leases if lease.until_ms > now_ms for name in lease.definitions)
