"""Computes some views in a process beside the processor, which goes on with its own.

A view that is new or changed is computed there until it is ready, and a replaced one for as long as scorers read it.
Both processes may write the same rows for a moment: fences and progress in the store make that as harmless as a
rebalance.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

import structlog

from forebay.pipelines.errors import ForebayError
from forebay.pipelines.feature_processor.build import Share
from forebay.pipelines.process.logs import LogSettings, configure_logs, log_settings

log = structlog.get_logger("forebay.process")

STOP_S = 10.0

Work = Callable[[Share], None]
"""Computes its share until SIGTERM. Can be pickled."""


class SideProcess:
    """A process that computes some views. It ends when the processor does, even if that is killed."""

    def __init__(self, share: Share, work: Work) -> None:
        """Args:
        share: the views to compute, and no others.
        """
        self.views = {view.name for view in share.plan.stream_views}
        """Names of the views that it computes."""
        self._process: Any = multiprocessing.get_context("spawn").Process(
            target=_main, args=(share, work, log_settings()), name="side-process", daemon=True
        )

    def start(self) -> None:
        """Starts it."""
        log.info("computing views in a process beside this one", views=sorted(self.views))
        self._process.start()

    @property
    def running(self) -> bool:
        """Whether the process still runs; when it ends by itself, its log says why."""
        return bool(self._process.is_alive())

    def stop(self) -> None:
        """Ends the process: by SIGTERM, and by SIGKILL where that takes longer than `STOP_S`."""
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _main(share: Share, work: Work, logs: LogSettings) -> None:
    configure_logs(logs)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        work(share)
    except ForebayError as error:
        log.error("stopped computing views beside the processor", error=str(error))
        sys.exit(1)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
