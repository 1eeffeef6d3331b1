"""Model cards: `models/<name>/<version>/model.yaml` says what fills a model, and which of its outputs are scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from forebay.pipelines.contract.unique_keys import UniqueKeys
from forebay.pipelines.errors import ModelError
from forebay.serving.models.catalog import Catalog

SHAPE = "service: SERVICE, and scores: {NAME: {output: OUTPUT, column: NUMBER}}"
"""What stands in every card, for messages."""


class ScoreOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a score stands in the model's outputs."""

    output: str
    """Name of the ONNX output, of shape (n,), (n, 1) or (n, columns)."""
    column: int | None = None
    """From 0; may be left out only where the output has one column."""
    label: int | str | None = None
    """The class, in place of a column: for an output that is a map of class to probability per row."""


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model answers for one input, according to whoever trained it."""

    inputs: dict[str, Any]
    """Every feature of the service by full name, as the model takes it; null is null."""
    scores: dict[str, float | None]
    """Some of the card's scores by name; null: not a number."""
    tolerance: float = 1e-5
    """How far a score may be from the expected one."""


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`model.yaml`."""

    service: str
    """The feature service whose features, in order, are the model's input."""
    scores: dict[str, ScoreOutput]
    description: str = ""
    not_a_number: Literal["refuse"] | None = "refuse"
    """What becomes of a request with a score that is no number, or infinite: it is refused; null: the score is null."""
    examples: tuple[Example, ...] = ()
    """Checked when the model is loaded."""


def load_card(folder: Path) -> ModelCard:
    """Returns the card of `models/<name>/<version>`, or of the version of `models/<name>` that is to score.

    Raises:
        ModelError: it is missing or can't be used.
    """
    path = Catalog(folder).candidates()[0] / "model.yaml"
    try:
        content = yaml.load(path.read_bytes(), UniqueKeys)
        card = msgspec.convert(content, ModelCard)
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: it names the feature service and the scores") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        hint = "; YAML takes 1e-5 for a text: write 1.0e-5" if "`float" in str(error) else ""
        raise ModelError(f"{path}: {error}{hint}; a card holds {SHAPE}") from error
    _check(card, path)
    return card


def _check(card: ModelCard, path: Path) -> None:
    if not card.scores:
        raise ModelError(f"{path}: $.scores is empty, so nothing would be predicted: name a score, as in {SHAPE}")
    for name, score in card.scores.items():
        if score.column is not None and score.column < 0:
            raise ModelError(f"{path}: $.scores.{name}.column is {score.column}: columns are counted from 0")
        if score.column is not None and score.label is not None:
            raise ModelError(f"{path}: $.scores.{name} has a column and a label: give the one that the output takes")
    for at, example in enumerate(card.examples):
        where = f"{path}: $.examples[{at}]"
        unknown = [name for name in example.scores if name not in card.scores]
        if unknown or not example.scores:
            said = f"names {', '.join(unknown)}" if unknown else "is empty"
            raise ModelError(f"{where}.scores {said}: give scores of this card, {', '.join(card.scores)}")
        if not 0 <= example.tolerance < float("inf"):
            raise ModelError(f"{where}.tolerance is {example.tolerance}: give a number from 0 on")
