"""Keeps processors busy with nothing, for a bounded time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_S = 180.0
"""A load whose harness was killed ends by itself."""

_BUSY = "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end:\n    pass"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes each keep one core busy meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", _BUSY, str(LONGEST_S)]) for _ in range(processes)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
        for each in running:
            each.wait()
