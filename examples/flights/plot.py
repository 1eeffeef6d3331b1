"""The demo's picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from examples.flights.times import ORIGIN_ZONE

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_LIVE, _STATIC, _OUTCOME = "#1b6ca8", "#9aa5b1", "#d1495b"


def save_plot(path: Path, live: pd.DataFrame, latencies_ms: list[float], title: str) -> None:
    """Saves three panels as PNG: the day, the ROC curves, the latencies.

    Args:
        live: one row per live prediction with an outcome: `event_ms`, `score`, `static`, `late`.
        latencies_ms: from event to prediction.
    """
    figure, (day, roc, latency) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    figure.suptitle(title)
    _draw_day(day, live)
    for column, label, colour in (
        ("score", "with streaming windows", _LIVE),
        ("static", "schedule and plane only", _STATIC),
    ):
        false, true, _ = roc_curve(live["late"], live[column])
        roc.plot(false, true, label=label, color=colour)
    roc.plot([0, 1], [0, 1], ":", color=_STATIC)
    roc.set(title="ROC, live predictions", xlabel="on-time flights flagged", ylabel="late flights found")
    roc.legend(frameon=False)
    latency.hist(latencies_ms, bins=np.arange(0, np.percentile(latencies_ms, 99.5) + 5, 5).tolist(), color=_LIVE)
    latency.set(title="From event to prediction", xlabel="milliseconds", ylabel="flights")
    for axes in (day, roc, latency):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_day(axes: Axes, live: pd.DataFrame) -> None:
    times = pd.to_datetime(live["event_ms"], unit="ms", utc=True).dt.tz_convert(ORIGIN_ZONE)
    hourly = live.groupby((times + pd.Timedelta(hours=1)).dt.hour)[["score", "late"]].mean()
    axes.bar(hourly.index, hourly["late"], color=_OUTCOME, alpha=0.35, label="were late")
    axes.plot(hourly.index, hourly["score"], "o-", color=_LIVE, label="predicted an hour before")
    axes.set(title="1 October 2013, flights out of New York", xlabel="scheduled hour of departure", ylabel="share")
    axes.legend(frameon=False)
