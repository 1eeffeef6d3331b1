"""A thread that makes short calls is not held up for milliseconds by one that computes."""

import sys

import pytest

from forebay.pipelines.process.switching import SWITCH_INTERVAL_S, switch_quickly


def test_the_interval_is_set_for_the_process():
    before = sys.getswitchinterval()
    try:
        switch_quickly()
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    finally:
        sys.setswitchinterval(before)
