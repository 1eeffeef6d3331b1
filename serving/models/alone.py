"""A model alone: tensors in, tensors out, whatever they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from forebay.pipelines.errors import ModelError
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.session import load_session

Array = npt.NDArray[Any]

_TENSORS: dict[str, Any] = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(string)": np.object_,
}
"""ONNX type -> numpy type."""


class Port(NamedTuple):
    """An input or output of a model."""

    name: str
    dtype: np.dtype[Any]
    """Objects: texts."""
    shape: tuple[int, ...]
    """-1: any size."""


class ModelAlone:
    """A model without features. Any thread; calls may overlap."""

    def __init__(self, name: str, version: str, session: ort.InferenceSession) -> None:
        self.name = name
        self.version = version
        self.inputs = _ports(session.get_inputs())
        self.outputs = _ports(session.get_outputs())
        """Those that are tensors; maps and sequences are left out."""
        self._session = session

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Runs the model; returns its outputs by name.

        Args:
            inputs: all inputs by name, of their dtypes and shapes.

        Raises:
            ModelError: the model fails on them.
        """
        try:
            return dict(zip(outputs, self._session.run(list(outputs), dict(inputs)), strict=True))
        except Exception as error:
            raise ModelError(f"model {self.name} version {self.version}: {error}") from error


def load_alone(folder: Path) -> ModelAlone:
    """Loads `models/<name>/<version>`, or the version of `models/<name>` that is to answer. It needs no card.

    Raises:
        ModelError: a file is missing or corrupt, or an input is no tensor that a client can send.
    """
    version = Catalog(folder).candidates()[0]
    session, _ = load_session(version)
    for each in session.get_inputs():
        if each.type not in _TENSORS:
            raise ModelError(
                f"{version}: input {each.name!r} is {each.type}: export it as one of {', '.join(_TENSORS)}"
            )
    return ModelAlone(version.parent.name, version.name, session)


def _ports(declared: Sequence[Any]) -> dict[str, Port]:
    return {
        each.name: Port(each.name, np.dtype(_TENSORS[each.type]), tuple(_size(size) for size in each.shape))
        for each in declared
        if each.type in _TENSORS
    }


def _size(size: Any) -> int:
    return size if isinstance(size, int) else -1
