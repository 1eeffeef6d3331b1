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

MAPS: Mapping[str, type] = {
    "seq(map(int64,tensor(float)))": int,
    "seq(map(string,tensor(float)))": str,
}
"""The types of outputs that are a map per row, of class to probability, and what a class is."""


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
        if kind in MAPS:
            _check_label(place, score, MAPS[kind])
            continue
        if score.label is not None:
            raise ModelError(
                f"{place}: `label: {score.label}`, but output {score.output!r} is {kind}, no map: give a `column`"
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
    """Reads the scores by name, one per row.

    Args:
        outputs: what the model returned, by name.

    Raises:
        ModelError: an output has another shape than (rows,) or (rows, columns).
    """
    return {name: _scores(name, score, outputs[score.output], rows) for name, score in scores.items()}


def _scores(name: str, score: ScoreOutput, output: Any, rows: int) -> list[float]:
    if score.label is not None:
        return _of_label(name, score, output, rows)
    return _column(name, score, np.asarray(output), rows)


def _of_label(name: str, score: ScoreOutput, maps: Sequence[Mapping[Any, float]], rows: int) -> list[float]:
    place = f"$.scores.{name} of model.yaml"
    _check_rows(place, score, len(maps), rows)
    try:
        return [float(each[score.label]) for each in maps]
    except KeyError as error:
        known = ", ".join(repr(each) for each in maps[0])
        raise ModelError(
            f"{place}: output {score.output!r} has no class {score.label!r}, only {known}: correct `label`"
        ) from error


def _check_label(place: str, score: ScoreOutput, kind: type) -> None:
    if type(score.label) is not kind:
        wanted = "a number, as in `label: 1`" if kind is int else "a text, as in `label: fraud`"
        given = "the card gives none" if score.label is None else f"the card gives {score.label!r}"
        raise ModelError(
            f"{place}: output {score.output!r} is a map of class to probability per row, and {given}: add the class "
            f"whose probability is the score as `label`, {wanted}; or export the model with zipmap=False, "
            f"which is faster, and give a `column`"
        )


def _check_rows(place: str, score: ScoreOutput, found: int, rows: int) -> None:
    if found != rows:
        raise ModelError(
            f"{place}: output {score.output!r} has {found} rows for {rows} requests: export a model that answers each "
            f"row on its own"
        )


def _column(name: str, score: ScoreOutput, output: Column, rows: int) -> list[float]:
    _check_shape(name, score, output.shape)
    _check_rows(f"$.scores.{name} of model.yaml", score, len(output), rows)
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
