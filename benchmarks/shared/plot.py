"""Pictures for the documents: SVG, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

_COLOURS = ("#1b6ca8", "#d1495b", "#9aa5b1")
_STABLE: Any = {"svg.hashsalt": "forebay", "svg.fonttype": "none", "path.simplify": True}
_PANEL_INCHES = (4.6, 3.4)


class Panel(NamedTuple):
    """One diagram: lines over a common x."""

    title: str
    x_label: str
    """With its unit, as `y_label`."""
    y_label: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    """By label; a single line needs none."""


def save_panels(path: Path, panels: Sequence[Panel], logarithmic: bool = False) -> None:
    """Saves panels side by side.

    Args:
        logarithmic: whether x grows by factors.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = _PANEL_INCHES
    with matplotlib.rc_context(_STABLE):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(width * len(panels), height), layout="constrained", squeeze=False
        )
        for each, panel in zip(axes[0], panels, strict=True):
            _draw(each, panel, logarithmic)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _draw(axes: Axes, panel: Panel, logarithmic: bool) -> None:
    marker = "o" if len(panel.x) < 20 else ""
    for (label, values), colour in zip(panel.lines.items(), _COLOURS, strict=False):
        axes.plot(panel.x, values, marker=marker, color=colour, label=label, linewidth=1.2)
    if logarithmic:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    if len(panel.lines) > 1:
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
