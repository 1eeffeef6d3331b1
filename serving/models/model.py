"""Models: `models/<name>/<version>/{model.onnx, model.yaml}`, checked against their feature service."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import FeatureRefused, ModelError
from forebay.pipelines.steps.arrays import Column, Mask
from forebay.serving.models.alone import ModelAlone
from forebay.serving.models.card import ModelCard, load_card
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.outputs import check_outputs, read_scores
from forebay.serving.models.session import load_session
from forebay.serving.models.tensors import LIST_FILLS, TYPES, as_matrix, as_padded_tensor, as_tensor, unheld


class Answer(NamedTuple):
    """What a model says of n requests."""

    scores: dict[str, list[float]]
    """Score name -> one per request; of a refused one, without meaning."""
    refusals: Mapping[int, FeatureRefused]
    """Requests with a value that the model's input can't hold, or a score that is no number."""


class Model:
    """A loaded model. `run` may be called from one thread at a time."""

    def __init__(self, folder: Path, card: ModelCard, session: ort.InferenceSession, digest: str) -> None:
        self.name = folder.parent.name
        self.version = folder.name
        self.reference = f"{self.name}/{self.version}"
        """What a deployment table calls it."""
        self.card = card
        self.hash = digest
        self.alone = ModelAlone(self.name, self.version, session)
        """The model without its features."""
        self._session = session
        self._inputs = session.get_inputs()
        self._by_name = {each.name: each for each in self._inputs}
        self._lists: set[str] = set()
        self._outputs = sorted({score.output for score in card.scores.values()})

    def check(self, features: Mapping[str, DataType]) -> None:
        """Checks the model's inputs and outputs against the service's features (full name -> type, in order).

        Raises:
            ModelError: naming the input, output or feature that does not fit.
        """
        try:
            check_outputs(self.card.scores, self._session.get_outputs())
        except ModelError as error:
            raise ModelError(f"{self}: {error}") from error
        for each in self._inputs:
            if each.type not in TYPES:
                raise ModelError(
                    f"{self}: input {each.name!r} has type {each.type}: export it as one of {', '.join(TYPES)}"
                )
            if each.shape and isinstance(each.shape[0], int):
                raise ModelError(
                    f"{self}: input {each.name!r} has the shape {tuple(each.shape)}, which takes {each.shape[0]} rows "
                    f"at a time: export it with a first dimension that is not fixed"
                )
        self._lists = {name for name, dtype in features.items() if dtype.is_list}
        if self._is_matrix(features):
            self._check_matrix(features)
        else:
            self._check_inputs(features)

    def _is_matrix(self, features: Mapping[str, Any]) -> bool:
        """Tells whether one input takes all features by name, rather than the one it is named like."""
        return len(self._inputs) == 1 and self._inputs[0].name not in features

    def _check_matrix(self, features: Mapping[str, DataType]) -> None:
        (only,) = self._inputs
        lists = [name for name, dtype in features.items() if dtype.is_list]
        if lists:
            raise ModelError(
                f"{self}: a matrix input takes one number per feature; lists: {', '.join(lists)}: pick elements of "
                f"them in an on-demand view, or give the model inputs named like its features"
            )
        texts = [name for name, dtype in features.items() if dtype is DataType.STRING]
        if texts:
            raise ModelError(f"{self}: a matrix input takes numbers only; text features: {', '.join(texts)}")
        if only.type == "tensor(string)" or len(only.shape) not in (0, 2):
            raise ModelError(
                f"{self}: input {only.name!r} is {only.type} of shape {tuple(only.shape)}, and named like no feature: "
                f"export it as numbers of shape (rows, features), or with an input named like each feature"
            )
        width = only.shape[1] if only.shape else None
        if isinstance(width, int) and width != len(features):
            raise ModelError(
                f"{self}: input {only.name!r} takes {width} features, feature service {self.card.service!r} has "
                f"{len(features)} ({', '.join(features)}): train the model on this service, or name another one"
            )

    def _check_inputs(self, features: Mapping[str, DataType]) -> None:
        unfilled = [each.name for each in self._inputs if each.name not in features]
        if unfilled:
            raise ModelError(
                f"{self}: no feature of service {self.card.service!r} fills the inputs {', '.join(unfilled)}; "
                f"it has {', '.join(features)}"
            )
        for each in self._inputs:
            dtype = features[each.name]
            if (each.type == "tensor(string)") is not (dtype.element is DataType.STRING):
                raise ModelError(f"{self}: input {each.name!r} is {each.type}, the feature is {dtype}")
            if not dtype.is_list and not _is_one_per_row(each.shape):
                raise ModelError(
                    f"{self}: input {each.name!r} has the shape {tuple(each.shape)}, the feature is one {dtype} per "
                    f"row: export it with the shape (rows, 1) or (rows,)"
                )
            if dtype.is_list and (each.type not in LIST_FILLS or not _is_fixed(each.shape)):
                raise ModelError(
                    f"{self}: input {each.name!r} is {each.type} of shape {each.shape}, the feature is {dtype}: "
                    f"export it with the shape (rows, n), n a number, as {' or '.join(LIST_FILLS)}"
                )

    def run(self, columns: Mapping[str, Column]) -> Answer:
        """Scores by name, one per request.

        Args:
            columns: the service's features by full name, in order, each of shape (n,).

        Raises:
            ModelError: the model failed on this input.
        """
        count = len(next(iter(columns.values())))
        try:
            feeds, lost = self._feed_matrix(columns) if self._is_matrix(columns) else self._feed_inputs(columns)
            outputs = dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
            scores = read_scores(self.card.scores, outputs, count)
            return Answer(scores, {**self._no_numbers(scores), **self._refusals(columns, lost)})
        except Exception as error:
            raise ModelError(f"{self}: {error}") from error

    def _no_numbers(self, scores: Mapping[str, Sequence[float]]) -> dict[int, FeatureRefused]:
        """Requests with a score that is none."""
        found: dict[int, FeatureRefused] = {}
        if self.card.not_a_number is None:
            return found
        for name, values in scores.items():
            # The usual case: one look at all of them.
            for at in [] if all(map(math.isfinite, values)) else np.flatnonzero(~np.isfinite(values)).tolist():
                what = f"{self}: score {name!r} is {values[at]}, no number"
                repair = "correct the model, or say `not_a_number: null` in its model.yaml"
                found.setdefault(at, FeatureRefused(f"$.scores.{name}", f"{what}: {repair}", "not_a_number"))
        return found

    def _refusals(self, columns: Mapping[str, Column], lost: Mapping[str, Mask]) -> dict[int, FeatureRefused]:
        """Requests with a value that would reach the model as another one."""
        found: dict[int, FeatureRefused] = {}
        for name, marked in lost.items():
            wanted = self._by_name.get(name, self._inputs[0])
            for at in np.flatnonzero(marked).tolist():
                refusal = FeatureRefused(f"$.{name}", f"{self}: {_not_held(columns[name][at], wanted)}", "not_held")
                found.setdefault(at, refusal)
        return found

    def _feed_matrix(self, columns: Mapping[str, Column]) -> tuple[dict[str, Any], Mapping[str, Mask]]:
        """Fills the one input; tells, by feature, which values it can't hold, each of shape (n,)."""
        (only,) = self._inputs
        matrix = as_matrix(list(columns.values()))
        lost = unheld(matrix, only.type)
        # The usual case: one look at all features.
        by_feature = dict(zip(columns, lost.T, strict=True)) if lost.any() else {}
        return {only.name: as_tensor(matrix, only.type, lost)}, by_feature

    def _feed_inputs(self, columns: Mapping[str, Column]) -> tuple[dict[str, Any], Mapping[str, Mask]]:
        """Fills an input per feature; tells as `_feed_matrix`."""
        scalars = [name for name in columns if name in self._by_name and name not in self._lists]
        lost = {name: unheld(columns[name], self._by_name[name].type) for name in scalars}
        feeds = {each.name: self._feed(each, columns[each.name], lost) for each in self._inputs}
        return feeds, lost

    def _feed(self, wanted: Any, column: Column, lost: Mapping[str, Mask]) -> Any:
        if wanted.name in self._lists:
            return as_padded_tensor(column, wanted.type, wanted.shape[1])
        tensor = as_tensor(column, wanted.type, lost[wanted.name])
        return tensor.reshape(-1, *([1] if len(wanted.shape) == 2 else []))

    def __str__(self) -> str:
        return f"model {self.name} version {self.version}"


def _not_held(value: float, wanted: Any) -> str:
    """Makes the error of a request whose value an input can't hold."""
    what, default = ("null", "give the feature a default, or ") if value != value else (str(value), "")
    wider = "double" if wanted.type == "tensor(float)" else "float"
    return (
        f"is {what}, which input {wanted.name!r}, {wanted.type}, can't hold: {default}export the model with a {wider} "
        f"input"
    )


def _is_one_per_row(shape: list[Any]) -> bool:
    return len(shape) < 2 or (len(shape) == 2 and (shape[1] == 1 or not isinstance(shape[1], int)))


def _is_fixed(shape: list[Any]) -> bool:
    return len(shape) == 2 and isinstance(shape[1], int)


def load_model(folder: Path) -> Model:
    """Loads `models/<name>/<version>`, or the version of `models/<name>` that is to score.

    Raises:
        ModelError: a file is missing or corrupt.
    """
    folder = Catalog(folder).candidates()[0]
    card = load_card(folder)
    return Model(folder, card, *load_session(folder))
