"""Exponential decay, the same bits on every machine: basic arithmetic in a fixed order.

The system's own exp2 may differ in the last bit between processors, and state must not.
"""

from __future__ import annotations

import math

import numpy as np

from forebay.pipelines.steps.arrays import Floats

_TERMS = 18
"""Of the Taylor series of 2^-f for f in [0, 1): the next one is below 1e-19."""


def decayed(periods: Floats) -> Floats:
    """Computes 2^-periods, shape (n,), for any finite number of half-lives, negative ones (growth) included."""
    whole = np.floor(periods)
    exponent = (periods - whole) * math.log(2)
    result = np.ones_like(periods)
    for term in range(_TERMS, 0, -1):
        result = 1.0 - exponent / term * result
    # Beyond these the result is 0 or infinite anyway, and the exponent must fit an integer.
    scaled: Floats = np.ldexp(result, -np.clip(whole, -2_000, 2_000).astype(np.int64))
    return scaled
