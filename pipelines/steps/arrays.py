"""Types of the arrays that the steps pass on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Payloads = npt.NDArray[Any]
"""Of dtype object: every element is `bytes`."""
Chosen = npt.NDArray[np.bool_] | npt.NDArray[np.intp]
"""Rows of an array: a mask, or indices."""
