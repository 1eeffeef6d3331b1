"""Formats where every thread and every asyncio task is, for the log of a process that hangs."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import traceback

SHOWN_TASKS = 40


def all_stacks() -> str:
    """Formats the stack of every thread, innermost call last, without values of variables: they may be secrets."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "".join(
        f"thread {names.get(ident, '?')} ({ident}):\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    )


def all_tasks() -> str:
    """Describes what unfinished tasks of all event loops wait for. The loops' own lists are not read: they belong to
    their threads.
    """
    tasks = [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]
    return "".join(_shown(each) for each in tasks[:SHOWN_TASKS])


def _shown(task: asyncio.Task[object]) -> str:
    frames = "".join(
        f'  File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}\n'
        for frame in task.get_stack()
    )
    return f"task {task.get_name()}:\n{frames}"
