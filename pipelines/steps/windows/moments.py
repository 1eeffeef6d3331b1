"""Central moments: count, centre, and sums of differences from the centre and of their squares.

The centre of a tile is the first of its values, so differences of close values are exact (P. H. Sterbenz) however large
the values are, and of equal ones 0. Sums of squares of the values themselves cancel: of 1e9 + 1, 1e9 + 2, 1e9 + 3
nothing is left. Tiles are merged about the centre of the first of them, after T. F. Chan, G. H. Golub, R. J. LeVeque,
"Algorithms for computing the sample variance", The American Statistician 37 (1983).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Floats, Ints
from forebay.pipelines.steps.windows.sums import added_up

Numbers = npt.NDArray[Any]
"""float64, or int64 of whole numbers."""


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
    """Value i less centre i, shape (n,)."""
    away = values - centre
    if values.dtype == np.float64:
        return away.astype(np.float64)
    found: Floats = away.astype(np.float64)
    overflows = ((values ^ centre) & (values ^ away)) < 0
    found[overflows] = values[overflows].astype(np.float64) - centre[overflows]
    return found


def variances(entity: Ints, entities: int, count: Floats, centre: Numbers, shifted: Floats, squares: Floats) -> Floats:
    """Sample variances, as in Feast, pandas and SQL, of some tiles for each entity; NaN for fewer than two values.

    Args:
        entity, count, centre, shifted, squares: shape (r,); sorted by entity.
    """
    used = count > 0.0
    entity, centre = entity[used], centre[used]
    count, shifted, squares = count[used], shifted[used], squares[used]
    about = np.zeros(entities, centre.dtype)
    about[entity[::-1]] = centre[::-1]
    with np.errstate(over="ignore", invalid="ignore"):
        mean_of_tile = differences(centre, about[entity]) + shifted / count
        spread = np.maximum(squares - shifted * (shifted / count), 0.0)
        total = added_up(entity, entities, count)
        many = total > 1.0
        mean = np.divide(added_up(entity, entities, count * mean_of_tile), total, out=np.zeros(entities), where=many)
        away = mean_of_tile - mean[entity]
        spreads = added_up(entity, entities, spread + count * away * away)
        variance: Floats = np.divide(spreads, total - 1.0, out=np.full(entities, np.nan), where=many)
    return variance
