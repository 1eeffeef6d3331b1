"""Names the readers of a record: all of its topic, or, for a replayed record, only those that refused it before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from forebay.pipelines.errors import DecodeError

ONLY_FOR_HEADER = "forebay-only-for"
"""On replayed records: who takes them, as `Recipients.encode` says it. Every other reader passes over them."""


class Recipients(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Some views of a project, or one model.

    Views are named by their definitions: one that was changed since is computed anew from all that Kafka retains, and
    has judged the refused record itself.
    """

    project: str
    views: tuple[str, ...] = ()
    """Definitions of stream views (see `contract.plan.definition.definition`)."""
    model: str = ""
    """Name of the model whose workers score the record; empty: none."""

    def encode(self) -> bytes:
        """Encodes the recipients as JSON, for headers."""
        return msgspec.json.encode(self)

    def each(self) -> Iterable[str]:
        """Returns the single recipients, each of which gets a record at most once."""
        yield from (f"view {name}" for name in self.views)
        if self.model:
            yield f"model {self.model}"


_decoder = msgspec.json.Decoder(Recipients)


def decode_recipients(data: bytes | None) -> Recipients:
    """Decodes the recipients that a header names.

    Raises:
        DecodeError: it names none.
    """
    try:
        return _decoder.decode(data or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(
            f"header {ONLY_FOR_HEADER!r}: {error}; only `forebay dlq replay` may write it: leave it out"
        ) from error


def only_for(headers: Sequence[tuple[str, bytes | None]]) -> Recipients | None:
    """Returns the only recipients of a record; None if all readers are.

    Raises:
        DecodeError: a header says that it is for some readers, and not for which.
    """
    for name, value in headers:
        if name == ONLY_FOR_HEADER:
            return decode_recipients(value)
    return None
