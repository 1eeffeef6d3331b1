"""Replaces itself by a program that ends when its parent does: `launch.py PARENT_PID PROGRAM ARGS...`.

Run as a script, before anything of the program. It stands in for Popen's preexec_fn, which may deadlock in a
process with threads, as every user of librdkafka is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
NOT_STARTED = 127
"""Exit status when the program can't be run, as in a shell."""


def main(parent_pid: int, program: str, *args: str) -> None:
    """Asks Linux for SIGKILL at the parent's death, then replaces this process by the program."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the request was made
        sys.exit(NOT_STARTED)
    try:
        os.execvp(program, [program, *args])
    except OSError as error:
        sys.exit(f"can't run {program}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
