"""Infer: the one path of both transports, from tensors to tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from forebay.serving.models.alone import Array, Port
from forebay.serving.oip.errors import InvalidRequest, UnknownModel, Unsupported
from forebay.serving.oip.tensors import Tensor, datatype_of

SERVER = "forebay"
EXTENSIONS = ("binary_tensor_data", "model_repository")


class InferRequest(NamedTuple):
    """A request in neither transport's form."""

    model: str
    version: str
    """Empty: the one that is served."""
    inputs: Sequence[Tensor]
    outputs: Sequence[str]
    """Names; none: all."""


class InferResponse(NamedTuple):
    """An answer in neither transport's form."""

    model: str
    version: str
    outputs: Sequence[Tensor]
    """In the order that was asked for."""
    parameters: Mapping[str, int | str]


class Inferred(NamedTuple):
    """What a model answers."""

    outputs: dict[str, Array]
    """By name."""
    parameters: Mapping[str, int | str] = {}
    """What is told beside them."""


class ServedModel(Protocol):
    """A model that takes tensors."""

    name: str
    version: str

    @property
    def inputs(self) -> Mapping[str, Port]:
        """By name; all of them are needed."""
        ...

    @property
    def outputs(self) -> Mapping[str, Port]:
        """By name."""
        ...

    async def infer(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Inferred:
        """Returns the outputs; inputs have been checked against `inputs`."""
        ...


class Ready(Protocol):
    """Whether questions could be answered now."""

    async def __call__(self) -> bool:
        """Asks."""
        ...


class Inference:
    """All models that can be called."""

    def __init__(self, models: Sequence[ServedModel], ready: Ready, versions: Sequence[ServedModel] = ()) -> None:
        """Args:
        models: answer where no version is named; one per name.
        versions: answer where their version is named.
        """
        self.models = {model.name: model for model in models}
        self._versions = {(model.name, model.version): model for model in versions}
        self.ready = ready

    def model(self, name: str, version: str = "") -> ServedModel:
        """Returns the model of that name.

        Raises:
            UnknownModel: there is none, or another version of it is served.
        """
        model = self._versions.get((name, version)) or self.models.get(name)
        if model is None:
            raise UnknownModel(f"model {name!r} is not served; served are {', '.join(sorted(self.models))}")
        if version not in ("", model.version):
            raise UnknownModel(f"model {name!r} has no version {version!r} here; version {model.version!r} is served")
        return model

    async def infer(self, request: InferRequest) -> InferResponse:
        """Runs a model.

        Raises:
            UnknownModel: as `model`.
            InvalidRequest: a tensor does not fit the model.
        """
        model = self.model(request.model, request.version)
        inputs = _checked(request.inputs, model)
        names = list(request.outputs) or list(model.outputs)
        for name in names:
            if name not in model.outputs:
                raise InvalidRequest(
                    f"model {model.name!r} has no output {name!r}; it has {', '.join(model.outputs) or 'none'}"
                )
        found = await model.infer(inputs, names)
        tensors = [Tensor(name, found.outputs[name]) for name in names]
        return InferResponse(model.name, model.version, tensors, found.parameters)

    def load(self, name: str) -> None:
        """Does nothing for a model that is served. Raises `UnknownModel` for another."""
        self.model(name)

    def unload(self, name: str) -> None:
        """Raises `Unsupported`, or `UnknownModel` for a model that is not served."""
        self.model(name)
        raise Unsupported(f"model {name!r} is served for as long as the process runs: end the process instead")


def _checked(tensors: Sequence[Tensor], model: ServedModel) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    for tensor in tensors:
        if tensor.name in inputs:
            raise InvalidRequest(f"input {tensor.name!r} stands twice")
        port = model.inputs.get(tensor.name)
        if port is None:
            known = ", ".join(model.inputs)
            raise InvalidRequest(f"model {model.name!r} has no input {tensor.name!r}; it takes {known}")
        if tensor.array.dtype != port.dtype:
            raise InvalidRequest(
                f"model {model.name!r}: input {tensor.name!r} is {datatype_of(port.dtype)}, got {tensor.datatype}"
            )
        if not _fits(tensor.array.shape, port.shape):
            raise InvalidRequest(
                f"model {model.name!r}: input {tensor.name!r} has the shape {list(port.shape)} (-1: any size), "
                f"got {list(tensor.array.shape)}"
            )
        inputs[tensor.name] = tensor.array
    missing = [name for name in model.inputs if name not in inputs]
    if missing:
        raise InvalidRequest(f"model {model.name!r} takes all its inputs; missing: {', '.join(missing)}")
    return inputs


def _fits(shape: Sequence[int], declared: Sequence[int]) -> bool:
    # A model whose export does not say a shape at all takes any.
    return not declared or (
        len(shape) == len(declared) and all(want in (-1, got) for got, want in zip(shape, declared, strict=True))
    )
