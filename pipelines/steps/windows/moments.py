"""Central moments: count, centre, and sums of differences from the centre and of their squares.

The centre of a tile is the first of its values, so differences of close values are exact (P. H. Sterbenz) however large
the values are, and of equal ones 0. Sums of squares of the values themselves cancel: of 1e9 + 1, 1e9 + 2, 1e9 + 3
nothing is left. Tiles are merged about the centre of the first of them, after T. F. Chan, G. H. Golub, R. J. LeVeque,
"Algorithms for computing the sample variance", The American Statistician 37 (1983).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Floats
from forebay.pipelines.steps.windows.slots import Numbers, Slots, picked


def add_to_centre(count: Floats, centre: Numbers, rows: npt.NDArray[np.intp], added: Numbers) -> None:
    """Gives a centre to each row that has none, in place: the first value that comes to it.

    Args:
        count: shape (r,), how many values each row had before these.
        centre: shape (r,).
        rows, added: shape (n,).
    """
    begins = count[rows] == 0.0
    centre[rows[begins][::-1]] = added[begins][::-1]


def differences(values: Numbers, centre: Numbers) -> Floats:
    """Subtracts centre i from value i, shape (n,)."""
    away = values - centre
    if values.dtype == np.float64:
        return away.astype(np.float64)
    found: Floats = away.astype(np.float64)
    overflows = ((values ^ centre) & (values ^ away)) < 0
    found[overflows] = values[overflows].astype(np.float64) - centre[overflows]
    return found


def variances(slots: Slots, centre: Numbers, count: Floats, shifted: Floats, squares: Floats) -> Floats:
    """Computes sample variances, as Feast, pandas and SQL do, of some tiles for each slot; NaN for fewer than two
    values.

    Args:
        centre, count, shifted, squares: shape (k, tiles).

    Returns:
        Shape (k, slots).
    """
    used = count > 0.0
    about = picked(centre, slots.first(used), 0).take(slots.slot, axis=1)
    counted = np.where(used, count, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean_of_tile = differences(centre, about) + shifted / counted
        spread = np.maximum(squares - shifted * (shifted / counted), 0.0)
        # What is added of a tile without a value is 0, which changes no bit.
        found = slots.added_up(np.concatenate((count, np.where(used, count * mean_of_tile, 0.0))))
        total = found[: len(count)]
        many = total > 1.0
        mean = np.divide(found[len(count) :], total, out=np.zeros(total.shape), where=many)
        away = mean_of_tile - mean.take(slots.slot, axis=1)
        spreads = slots.added_up(np.where(used, spread + count * away * away, 0.0))
        variance: Floats = np.divide(spreads, total - 1.0, out=np.full(total.shape, np.nan), where=many)
    return variance
