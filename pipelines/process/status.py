"""Exit statuses that supervisors act on."""

from __future__ import annotations

from pipelines.errors import RestartNeeded

START_AGAIN = RestartNeeded.status
"""The process could not go on for a reason that passes. Nothing is lost, start it again."""
