"""Brings new and changed views up to the others, in a process of its own, beside the one that keeps these fresh.

Both may write the same rows for a moment: fences and progress in the store make that as harmless as a rebalance.
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


class Bootstrap:
    """A process that computes some views; it ends with this one, whatever ends it."""

    def __init__(self, share: Share, work: Work) -> None:
        """Args:
        share: has the views that are behind, and no others.
        """
        self.views = {view.name for view in share.plan.stream_views}
        """Names of those it brings up."""
        self._process: Any = multiprocessing.get_context("spawn").Process(
            target=_main, args=(share, work, log_settings()), name="catch-up", daemon=True
        )

    def start(self) -> None:
        """Starts it."""
        log.info("catching up beside the others", views=sorted(self.views))
        self._process.start()

    @property
    def running(self) -> bool:
        """Whether it still works; one that ended has said why in the log."""
        return bool(self._process.is_alive())

    def stop(self) -> None:
        """Ends it, in order if it can be."""
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
        log.error("not caught up", error=str(error))
        sys.exit(1)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
