"""Defines claims on the walk over all rows of a definition, so that one process makes it and not every one.

One hash per project, with one field per definition of a view:

    key     forebay:walks:<project>
    field   the definition, called `<view>@<fingerprint>` as in progress hashes
    value   text: until when no other process begins a walk, in ms of the store's own clock; a space; the process's name

While a process walks, its claim lasts seconds and is renewed; that of a process that was killed lapses. Once the walk
is complete, the claim lasts until the next one is due.
"""

from __future__ import annotations

import msgspec


class WalkClaim(msgspec.Struct, frozen=True):
    """Which process walks over the rows of a definition, or was the last to do so."""

    until_ms: int
    """ms of the store's clock; another process may walk from then on."""
    claimant: str
    """Name of the process; it has no space."""


def walks_key(project: str) -> bytes:
    """Returns the key of a project's hash."""
    return f"forebay:walks:{project}".encode()


def encode_walk_claim(claim: WalkClaim) -> bytes:
    """Encodes a claim."""
    return f"{claim.until_ms} {claim.claimant}".encode()


def decode_walk_claim(data: bytes) -> WalkClaim:
    """Decodes a claim. Raises `ValueError` for other bytes."""
    until_ms, claimant = data.decode().split(" ")
    return WalkClaim(int(until_ms), claimant)
