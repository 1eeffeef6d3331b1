"""Decode: payload bytes to typed events, whole batches at a time, in the format that the source declares.

One file per format; `decoded` is what they have in common, and `framing` what may stand before an event.
"""

from __future__ import annotations

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.steps.decode.avro import AvroDecoder, SchemaSource
from forebay.pipelines.steps.decode.event_type import Decoded, Decoder, Payload, event_type
from forebay.pipelines.steps.decode.json import JsonDecoder
from forebay.pipelines.steps.decode.protobuf import ProtobufDecoder

__all__ = [
    "Decoded",
    "Decoder",
    "JsonDecoder",
    "Payload",
    "SchemaSource",
    "decoder_for",
    "event_type",
    "needs_schemas",
]


def decoder_for(source: Source, schemas: SchemaSource | None = None) -> Decoder:
    """Makes the decoder of a source's events.

    Args:
        schemas: needed where `needs_schemas` says so.

    Raises:
        SettingsError: it is needed, but not there.
    """
    match source.format:
        case "json":
            return JsonDecoder(source)
        case "avro":
            return AvroDecoder(source, schemas)
        case "protobuf":
            return ProtobufDecoder(source)


def needs_schemas(source: Source) -> bool:
    """Tells whether payloads name their writer's schema by an id, and can't be decoded without it."""
    return source.format == "avro" and source.framing == "confluent"
