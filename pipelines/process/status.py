"""Exit statuses that supervisors act on."""

from __future__ import annotations

START_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: the process could not go on for a reason that passes. Nothing is lost, start it again."""
