"""The clients' own environment: what they need of protobuf is older than what Feast's lock has."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CLIENTS = ("tritonclient[http,grpc]==2.73.0", "kserve==0.21.0")


@pytest.fixture(scope="session")
def client_python() -> Path:
    """A Python that has Triton's and KServe's clients; made once, and kept in the system's folder for such."""
    folder = Path(tempfile.gettempdir()) / "forebay-clients-triton-2.73.0-kserve-0.21.0"
    python = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *CLIENTS]
        subprocess.run(install, check=True, timeout=300)
        done.touch()
    return python
