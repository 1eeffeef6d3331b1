"""The processes of the local stack, by the names of their commands."""

from __future__ import annotations

import enum


class Process(enum.StrEnum):
    """A process of Forebay's."""

    PROCESS = "process"
    SCORE = "score"
    SERVE = "serve"
