"""Finds the prediction of a scored event on the prediction topic."""

from __future__ import annotations

import msgspec

from forebay.explain.log import RecordLog
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import Prediction
from forebay.pipelines.errors import SettingsError


def find_prediction(log: RecordLog, at: Position, output: str, model: str, from_ms: int = 0) -> Prediction:
    """Finds the newest prediction that a model made of the event at a position.

    Args:
        output: the prediction topic.
        from_ms: timestamp of the event's record: no prediction was written before it.

    Raises:
        SettingsError: there is none.
    """
    found: Prediction | None = None
    source = str(at)
    decoder = msgspec.json.Decoder(Prediction)
    for payload in log.predictions(output, from_ms):
        # Most records are of other events: only those that name this one are decoded.
        if source.encode() in payload:
            try:
                prediction = decoder.decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                # Another program wrote it: no prediction of Forebay's.
                continue
            if prediction.source == source and prediction.model == model:
                found = prediction
    if found is None:
        raise SettingsError(
            f"{output}: no prediction of model {model} for {at}; it may not be scored yet, be refused (`forebay dlq "
            f"list --position {at}`), or be older than the topic's retention"
        )
    return found
