"""What is null, in the words of every library whose values come in."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from forebay.pipelines.steps.nulls import is_null

NULLS = (None, float("nan"), np.float32("nan"), np.datetime64("NaT"), pd.NA, pd.NaT, Decimal("NaN"))
VALUES = (0, False, True, "", "nan", 0.0, float("inf"), b"", [], [None], {}, np.False_, np.int64(0), datetime.date.min)


@pytest.mark.parametrize("value", [*NULLS, *VALUES], ids=repr)
def test_the_same_values_are_null_as_to_pandas(value):
    """Lists are looked at as a whole: pandas says of each element whether it is."""
    assert is_null(value) is (pd.isna(value) is True or value is pd.NA)


def test_an_array_is_no_null():
    assert not is_null(np.array([np.nan, np.nan]))
