"""Recognise null among Python values, whichever library made it."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_null(value: Any) -> bool:
    """Tells whether a value is null: None, NaN, or the NaT or NA of pandas.

    Does not import pandas, which takes more memory than all else that a scorer loads.
    """
    if value is None:
        return True
    unequal = value != value
    if isinstance(unequal, bool | np.bool_):
        return bool(unequal)  # NaN and NaT differ from themselves
    return unequal is value  # NA answers every comparison with NA
