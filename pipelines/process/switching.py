"""How quickly a thread that waits for the interpreter's lock gets it."""

from __future__ import annotations

import sys

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter's lock while another one waits for it. Python's own 5 ms are the time of a
whole batch: a thread that makes short calls to brokers would wait so long after each for the one that computes."""


def switch_quickly() -> None:
    """Sets the interval for all threads of this process."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
