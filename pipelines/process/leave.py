"""Ends the process at once, whatever its threads do."""

from __future__ import annotations

import os
import sys


def leave(status: int) -> None:
    """Ends the process. Nothing is lost by it: what was not committed is read again, as after a kill."""
    sys.stderr.flush()
    os._exit(status)
