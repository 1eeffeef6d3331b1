"""Exit statuses that supervisors act on."""

from __future__ import annotations

from forebay.pipelines.errors import Crashed, ForebayError, RestartNeeded

DONE = 0
CRASHED = Crashed.status
REPAIR_FIRST = ForebayError.status
START_AGAIN = RestartNeeded.status
INTERRUPTED = 130

MEANINGS = {
    DONE: "Done, or stopped as told.",
    CRASHED: "Nobody expected it; the log has the traceback. Start it again, and tell the authors.",
    REPAIR_FIRST: "Repair first, then start it again: a plan, a setting, a model, an option, a refusal of the store.",
    START_AGAIN: "It could not go on for a reason that passes: start it again. An end by SIGPROF means the same.",
    INTERRUPTED: "Ctrl-C, as a shell says it, in a command that was not done.",
}
