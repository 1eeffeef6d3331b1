"""Counts tests that are left out in the processes of pytest-xdist, whose closing line does not say that there were any.

A plugin of pytest. The check of a change reads that line, and fails where a test did not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest


class OfOneProcess:
    """Takes note of what is left out here, and hands it to the controlling process at the end."""

    def __init__(self, output: dict[str, Any]) -> None:
        """Args:
        output: what pytest-xdist hands over.
        """
        self._left_out: list[str] = output.setdefault("left out", [])

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._left_out.extend(item.nodeid for item in items)


def pytest_configure(config: pytest.Config) -> None:
    output = getattr(config, "workeroutput", None)  # set in a process of pytest-xdist
    if output is not None:
        config.pluginmanager.register(OfOneProcess(output))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every process collects all tests, and leaves out the same ones: those of the last one to end are shown."""
    left_out = getattr(node, "workeroutput", {}).get("left out", [])
    reporter = node.config.pluginmanager.get_plugin("terminalreporter")
    if left_out and reporter is not None:
        reporter.stats["deselected"] = [SimpleNamespace(nodeid=each) for each in left_out]
