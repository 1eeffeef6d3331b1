"""Models: `models/<name>/<version>/{model.onnx, model.yaml}`, checked against their feature service."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort

from pipelines.contract.plan import DataType
from pipelines.errors import ModelError
from pipelines.steps.arrays import Column
from serving.tensors import LIST_FILLS, TYPES, as_padded_tensor, as_tensor


class ScoreOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a score stands in the model's outputs."""

    output: str
    """Name of the ONNX output, of shape (n,), (n, 1) or (n, columns)."""
    column: int = 0


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`model.yaml`."""

    service: str
    """The feature service whose features, in order, are the model's input."""
    scores: dict[str, ScoreOutput]
    description: str = ""


class Model:
    """A loaded model. `run` may be called from one thread at a time."""

    def __init__(self, folder: Path, card: ModelCard, session: ort.InferenceSession, digest: str) -> None:
        self.name = folder.parent.name
        self.version = folder.name
        self.card = card
        self.hash = digest
        self._session = session
        self._inputs = session.get_inputs()
        self._lists: set[str] = set()
        self._outputs = sorted({score.output for score in card.scores.values()})

    def check(self, features: Mapping[str, DataType]) -> None:
        """Checks the model's inputs and outputs against the service's features (full name -> type, in order).

        Raises:
            ModelError: naming the input, output or feature that does not fit.
        """
        known = {output.name for output in self._session.get_outputs()}
        for score, where in self.card.scores.items():
            if where.output not in known:
                raise ModelError(
                    f"{self}: score {score!r} is read from output {where.output!r}, but the model has "
                    f"{', '.join(sorted(known))}: correct model.yaml"
                )
        for each in self._inputs:
            if each.type not in TYPES:
                raise ModelError(f"{self}: input {each.name!r} has type {each.type}, which is not supported")
        self._lists = {name for name, dtype in features.items() if dtype.is_list}
        if self._takes_matrix(features):
            self._check_matrix(features)
        else:
            self._check_inputs(features)

    def _takes_matrix(self, features: Mapping[str, DataType]) -> bool:
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
        width = only.shape[1] if len(only.shape) == 2 else None
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
            if dtype.is_list and (each.type not in LIST_FILLS or not _is_fixed(each.shape)):
                raise ModelError(
                    f"{self}: input {each.name!r} is {each.type} of shape {each.shape}, the feature is {dtype}: "
                    f"export it with the shape (rows, n), n a number, as {' or '.join(LIST_FILLS)}"
                )

    def run(self, columns: Mapping[str, Column]) -> dict[str, list[float]]:
        """Scores by name, one per request.

        Args:
            columns: the service's features by full name, in order, each of shape (n,).

        Raises:
            ModelError: the model failed on this input.
        """
        try:
            outputs = dict(zip(self._outputs, self._session.run(self._outputs, self._feeds(columns)), strict=True))
            return {
                name: _column(outputs[score.output], score.column).tolist() for name, score in self.card.scores.items()
            }
        except Exception as error:
            raise ModelError(f"{self}: {error}") from error

    def _feeds(self, columns: Mapping[str, Column]) -> dict[str, Any]:
        if len(self._inputs) == 1 and self._inputs[0].name not in columns:
            (only,) = self._inputs
            return {only.name: np.column_stack(list(columns.values())).astype(TYPES[only.type])}
        return {each.name: self._feed(each, columns[each.name]) for each in self._inputs}

    def _feed(self, wanted: Any, column: Column) -> Any:
        if wanted.name in self._lists:
            return as_padded_tensor(column, wanted.type, wanted.shape[1])
        return as_tensor(column, wanted.type).reshape(-1, *([1] if len(wanted.shape) == 2 else []))

    def __str__(self) -> str:
        return f"model {self.name} version {self.version}"


def _is_fixed(shape: list[Any]) -> bool:
    return len(shape) == 2 and isinstance(shape[1], int)


def load_model(folder: Path) -> Model:
    """Loads `models/<name>/<version>`, or the highest version of `models/<name>`.

    Raises:
        ModelError: a file is missing or corrupt.
    """
    folder = _version_folder(folder)
    card = _load_card(folder / "model.yaml")
    path = folder / "model.onnx"
    try:
        data = path.read_bytes()
        session = ort.InferenceSession(data, _options(), providers=["CPUExecutionProvider"])
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: export the model to ONNX there") from error
    except Exception as error:
        raise ModelError(f"{path} can't be loaded: {error}; export the model to ONNX again") from error
    return Model(folder, card, session, hashlib.sha256(data).hexdigest()[:16])


def load_card(folder: Path) -> ModelCard:
    """The card alone of what `load_model` would load.

    Raises:
        ModelError: it is missing or corrupt.
    """
    return _load_card(_version_folder(folder) / "model.yaml")


def model_name(folder: Path) -> str:
    """The name of the model that `load_model` would load. Raises `ModelError` if there is none."""
    return _version_folder(folder).parent.name


def content_stamp(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Changes whenever a file of the folder, or of a version in it, does: path, time and size of each."""
    found = set()
    for path in folder.rglob("*"):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue  # it was replaced this very moment; the next look sees by what
        found.add((str(path), state.st_mtime_ns, state.st_size))
    return frozenset(found)


def _version_folder(folder: Path) -> Path:
    if (folder / "model.yaml").exists() or (folder / "model.onnx").exists():
        return folder.resolve()
    versions = [each for each in folder.iterdir() if each.name.isdigit()] if folder.is_dir() else []
    if not versions:
        raise ModelError(f"{folder} holds no model: expected {folder}/<version>/model.onnx and model.yaml")
    return max(versions, key=lambda each: int(each.name)).resolve()


def _load_card(path: Path) -> ModelCard:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=ModelCard)
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: it names the feature service and the scores") from error
    except msgspec.DecodeError as error:
        raise ModelError(f"{path}: {error}") from error


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Micro-batches are small: threads cost more than they bring, and steal the other processes' cores.
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _column(output: Any, column: int) -> Column:
    array = np.asarray(output, dtype=np.float64)
    return array if array.ndim == 1 else array[:, column]
