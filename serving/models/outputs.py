"""Model outputs: which of them can be scores, and the scores in what a model has returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forebay.pipelines.errors import ModelError
from forebay.pipelines.steps.arrays import Column
from forebay.serving.models.card import ScoreOutput

_KINDS = "float double float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool"
NUMBERS = frozenset(f"tensor({kind})" for kind in _KINDS.split())
"""The types of outputs that can be scores."""


def check_outputs(scores: Mapping[str, ScoreOutput], outputs: Sequence[Any]) -> None:
    """Checks what the card names against what the model declares.

    Args:
        outputs: ONNX Runtime's descriptions.

    Raises:
        ModelError: naming the score, the output, the place in the card and the repair.
    """
    declared = {each.name: each for each in outputs}
    numbers = ", ".join(each.name for each in outputs if each.type in NUMBERS) or "none"
    for name, score in scores.items():
        place = f"$.scores.{name} of model.yaml"
        if score.output not in declared:
            raise ModelError(
                f"{place}: score {name!r} is read from output {score.output!r}, but the model has "
                f"{', '.join(sorted(declared))}: correct model.yaml"
            )
        kind = declared[score.output].type
        if kind.startswith("seq("):
            raise ModelError(
                f"{place}: output {score.output!r} is {kind}, a map per row: export the model with zipmap=False "
                f"(skl2onnx: options={{'zipmap': False}}), and name the column"
            )
        if kind not in NUMBERS:
            raise ModelError(
                f"{place}: output {score.output!r} is {kind}, and a score is a number: name another output "
                f"(of numbers: {numbers})"
            )
        shape = declared[score.output].shape
        # Neither a scalar nor an output of unknown shape declares any dimension: what it returns will tell.
        if shape:
            _check_shape(name, score, shape)


def read_scores(scores: Mapping[str, ScoreOutput], outputs: Mapping[str, Any], rows: int) -> dict[str, list[float]]:
    """The scores by name, one per row.

    Args:
        outputs: what the model returned, by name.

    Raises:
        ModelError: an output has another shape than (rows,) or (rows, columns).
    """
    return {name: _column(name, score, np.asarray(outputs[score.output]), rows) for name, score in scores.items()}


def _column(name: str, score: ScoreOutput, output: Column, rows: int) -> list[float]:
    _check_shape(name, score, output.shape)
    if len(output) != rows:
        raise ModelError(
            f"$.scores.{name} of model.yaml: output {score.output!r} has {len(output)} rows for {rows} requests: "
            f"export a model that answers each row on its own"
        )
    column = output if output.ndim == 1 else output[:, score.column or 0]
    values: list[float] = column.astype(np.float64).tolist()
    return values


def _check_shape(name: str, score: ScoreOutput, shape: Sequence[Any]) -> None:
    """Checks the shape of a score's output; dimensions that are not numbers are not known yet."""
    place = f"$.scores.{name} of model.yaml"
    if len(shape) not in (1, 2):
        raise ModelError(
            f"{place}: output {score.output!r} has the shape {tuple(shape)}: a score is read from (rows,) or "
            f"(rows, columns); export the model so, or name another output"
        )
    width = shape[1] if len(shape) == 2 else 1
    if not isinstance(width, int):
        return
    if score.column is None and width != 1:
        raise ModelError(
            f"{place}: output {score.output!r} has {width} columns, and the card does not say which is "
            f"score {name!r}: add `column`, from 0 to {width - 1}"
            + (" (of two probabilities, 1 is the positive class)" if width == 2 else "")
        )
    if score.column is not None and score.column >= width:
        raise ModelError(
            f"{place}: `column: {score.column}`, but output {score.output!r} has {width}: "
            f"give one from 0 to {width - 1}"
        )
