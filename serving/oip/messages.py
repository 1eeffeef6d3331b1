"""The protocol's gRPC messages, as classes made from the table below.

Names and numbers are those of the protocol, on which compatibility on the wire rests. The descriptors live in a pool of
their own: clients of the protocol register the same names in protobuf's default pool, and one process may hold both.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool=1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool=1",
    "ModelReadyRequest": "name:string=1 version:string=2",
    "ModelReadyResponse": "ready:bool=1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string=1 version:string=2 extensions:string*=3",
    "ModelMetadataRequest": "name:string=1 version:string=2",
    "TensorMetadata": "name:string=1 datatype:string=2 shape:int64*=3",
    "ModelMetadataResponse": (
        "name:string=1 versions:string*=2 platform:string=3 inputs:TensorMetadata*=4 outputs:TensorMetadata*=5"
    ),
    "InferTensorContents": (
        "bool_contents:bool*=1 int_contents:int32*=2 int64_contents:int64*=3 uint_contents:uint32*=4 "
        "uint64_contents:uint64*=5 fp32_contents:float*=6 fp64_contents:double*=7 bytes_contents:bytes*=8"
    ),
    "InferInputTensor": "name:string=1 datatype:string=2 shape:int64*=3 contents:InferTensorContents=5",
    "InferRequestedOutputTensor": "name:string=1",
    "ModelInferRequest": (
        "model_name:string=1 model_version:string=2 id:string=3 inputs:InferInputTensor*=5 "
        "outputs:InferRequestedOutputTensor*=6 raw_input_contents:bytes*=7"
    ),
    "InferOutputTensor": "name:string=1 datatype:string=2 shape:int64*=3 contents:InferTensorContents=5",
    "InferParameter": "bool_param:bool=1 int64_param:int64=2 string_param:string=3",
    # An entry of the protocol's map, which is a repeated message on the wire.
    "Parameter": "key:string=1 value:InferParameter=2",
    "ModelInferResponse": (
        "model_name:string=1 model_version:string=2 id:string=3 parameters:Parameter*=4 outputs:InferOutputTensor*=5 "
        "raw_output_contents:bytes*=6"
    ),
    "RepositoryIndexRequest": "repository_name:string=1 ready:bool=2",
    "ModelIndex": "name:string=1 version:string=2 state:string=3 reason:string=4",
    "RepositoryIndexResponse": "models:ModelIndex*=1",
    # Field 1 is Triton's name of a repository and KServe's name of the model; Triton's name of the model is field 2.
    "RepositoryModelLoadRequest": "repository_name:string=1 model_name:string=2",
    "RepositoryModelLoadResponse": "model_name:string=1 isLoaded:bool=2",
    "RepositoryModelUnloadRequest": "repository_name:string=1 model_name:string=2",
    "RepositoryModelUnloadResponse": "model_name:string=1 isUnloaded:bool=2",
}
"""Message -> its fields, `name:type=number`, repeated with a star. Parameters (field 4) of tensors and requests have
no meaning here: they are skipped as unknown fields."""

METHODS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)
"""Each takes `<name>Request` and answers `<name>Response`."""

_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="forebay/oip.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            label, _, number = field.partition("=")
            field_name, _, kind = label.rstrip("*").partition(":")
            added = message.field.add(name=field_name, number=int(number))
            added.label = _Field.LABEL_REPEATED if label.endswith("*") else _Field.LABEL_OPTIONAL
            if kind in _MESSAGES:
                added.type, added.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                added.type = getattr(_Field, f"TYPE_{kind.upper()}")
    service = file.service.add(name=SERVICE.removeprefix(f"{PACKAGE}."))
    for method in METHODS:
        service.method.add(
            name=method,
            input_type=f".{PACKAGE}.{method}Request",
            output_type=f".{PACKAGE}.{method}Response",
        )
    return file


POOL = descriptor_pool.DescriptorPool()
"""Holds these messages, and nothing else."""
POOL.Add(_file())


def message(name: str) -> Any:
    """Returns the class of a message."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
