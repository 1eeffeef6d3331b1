"""Sessions: ONNX files, loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from forebay.pipelines.errors import ModelError

EXTERNAL_DATA = "model.onnx.*"
"""Files with weights that are not in the model itself, as PyTorch's exporter writes them."""


def load_session(folder: Path) -> tuple[ort.InferenceSession, str]:
    """Loads the session of `models/<name>/<version>`, and the hash of its files.

    Raises:
        ModelError: a file is missing or corrupt.
    """
    path = folder / "model.onnx"
    try:
        data = path.read_bytes()
        session = ort.InferenceSession(data, _options(folder), providers=["CPUExecutionProvider"])
        return session, _hash(data, sorted(folder.glob(EXTERNAL_DATA)))
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: export the model to ONNX there") from error
    except Exception as error:
        raise ModelError(f"{path} can't be loaded: {error}; export the model to ONNX again") from error


def _hash(model: bytes, external: Sequence[Path]) -> str:
    """Computes the first 16 hex digits of the SHA-256 of the model's files, one after another."""
    digest = hashlib.sha256(model)
    for path in external:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _options(folder: Path) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # The model is loaded from the bytes that are hashed; weights that stand in files beside it are found here.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    # Micro-batches are small: threads cost more than they bring, and steal the other processes' cores.
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options
