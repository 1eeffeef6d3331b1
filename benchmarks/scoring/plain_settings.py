"""What the plain loop's process is told, as JSON in its only argument."""

from __future__ import annotations

import msgspec


class PlainSettings(msgspec.Struct, frozen=True):
    """One run."""

    brokers: str
    redis: str
    topic: str
    output: str
    group: str
    model: str
    """Path of the ONNX file."""
    features: list[str]
    """The fields of a card's hash, in the model's order."""
