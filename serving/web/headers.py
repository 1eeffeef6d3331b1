"""Headers of requests."""

from __future__ import annotations

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str:
    """Reads the value of a header; empty where there is none.

    Args:
        name: in lower case.
    """
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
