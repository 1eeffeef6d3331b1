"""Defines exit statuses, on which supervisors act."""

from __future__ import annotations

from forebay.pipelines.errors import Crashed, ForebayError, RestartNeeded

DONE = 0
CRASHED = Crashed.status
REPAIR_FIRST = ForebayError.status
START_AGAIN = RestartNeeded.status
INTERRUPTED = 130

MEANINGS = {
    DONE: "Done, or stopped by a signal.",
    CRASHED: "An unexpected error; the log has the traceback. Start it again, and report it to the authors.",
    REPAIR_FIRST: "Repair first, then start it again: a plan, a setting, a model, an option, a refusal of the store.",
    START_AGAIN: "A failure that passes: start it again. An end by SIGPROF means the same.",
    INTERRUPTED: "Ctrl-C in a command that was not done.",
}
