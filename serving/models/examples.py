"""Model examples: inputs of which the card says the scores, answered by the model before anything else is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import ModelError
from forebay.serving.features.columns import to_column
from forebay.serving.models.model import Model


def check_examples(model: Model, features: Mapping[str, DataType]) -> None:
    """Checks that the model gives the scores of its card's examples.

    Args:
        features: of the model's service: full name -> type, in order.

    Raises:
        ModelError: naming the example, the score or the input, and the repair.
    """
    for at, example in enumerate(model.card.examples):
        place = f"{model}: $.examples[{at}] of model.yaml"
        _check_inputs(example.inputs, features, place)
        answer = model.run({name: to_column([example.inputs[name]], dtype) for name, dtype in features.items()})
        if answer.refusals:
            raise ModelError(f"{place}: {answer.refusals[0]}")
        for name, expected in example.scores.items():
            (found,) = answer.scores[name]
            if not _is_near(found, expected, example.tolerance):
                raise ModelError(
                    f"{place}: score {name!r} is {found}, expected {expected} within {example.tolerance}: the model "
                    f"is another one, takes its features in another order, or the score is another output or column"
                )


def _check_inputs(inputs: Mapping[str, Any], features: Mapping[str, DataType], place: str) -> None:
    if inputs.keys() != features.keys():
        lacking = ", ".join(name for name in features if name not in inputs) or "none"
        unknown = ", ".join(name for name in inputs if name not in features) or "none"
        raise ModelError(f"{place}: inputs are all features of the service: lacking {lacking}; unknown {unknown}")
    for name, dtype in features.items():
        values = inputs[name] if dtype.is_list else [inputs[name]]
        if values is not None and not (isinstance(values, list) and all(_is_of(each, dtype) for each in values)):
            raise ModelError(f"{place}: input {name!r} is {inputs[name]!r}, and the feature is {dtype}: correct it")


def _is_of(value: Any, dtype: DataType) -> bool:
    """Tells whether a value of YAML is of a feature's type, or of its elements'; a float may be written as a whole
    number.
    """
    if value is None:
        return not dtype.is_list
    if dtype.element is DataType.STRING:
        return isinstance(value, str)
    return isinstance(value, bool) if dtype.element is DataType.BOOL else type(value) in (int, float)


def _is_near(found: float, expected: float | None, tolerance: float) -> bool:
    if expected is None or math.isnan(expected):
        return math.isnan(found)
    return found == expected or abs(found - expected) <= tolerance
