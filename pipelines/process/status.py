"""Exit statuses that supervisors act on."""

from __future__ import annotations

from pipelines.errors import Crashed, ForebayError, RestartNeeded

CRASHED = Crashed.status
"""Nobody expected it. Start it again, and tell the authors."""

REPAIR_FIRST = ForebayError.status
"""Started again it would end in the same way: a plan, a setting, a model, a store's refusal, an option."""

START_AGAIN = RestartNeeded.status
"""The process could not go on for a reason that passes. Nothing is lost, start it again."""

INTERRUPTED = 130
"""Ctrl-C, as a shell says it, in a command that was not done."""
