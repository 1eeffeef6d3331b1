"""What the demo found: numbers for people and for `summary.json`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from rich import box
from rich.console import Console, Group
from rich.table import Table
from sklearn.metrics import log_loss, roc_auc_score

from examples.flights.train import Evaluation

SLIDE_S = 300
"""The finest slide of the views' windows."""

_BINS = (0.0, 0.05, 0.1, 0.2, 0.4, 1.0)


class Percentiles(msgspec.Struct, frozen=True):
    """In milliseconds."""

    p50: float
    p99: float


class Bin(msgspec.Struct, frozen=True):
    """Live predictions between two probabilities."""

    low: float
    high: float
    flights: int
    predicted: float
    """Mean predicted probability."""
    observed: float
    """Share that was late."""


class Quality(msgspec.Struct, frozen=True):
    """Predictions against what happened."""

    outcomes: int
    """Live predictions of flights that arrived; the others were cancelled or diverted."""
    late: int
    auc: float
    auc_static: float
    """Of the model without streaming features, on the same flights."""
    log_loss: float
    log_loss_static: float
    calibration: list[Bin]


class Skew(msgspec.Struct, frozen=True):
    """Live scores against scores recomputed from history, as of the same event times."""

    same: float
    """Share that agrees to 1e-6."""
    largest: float
    """Largest difference of two probabilities."""


class Live(msgspec.Struct, frozen=True):
    """The paced part of the replay."""

    speed: float
    """Multiple of real time."""
    seconds: float
    events: int
    predictions: int
    barriers_met: int
    delay_event_s: float
    """p99 from event to prediction, in event time: at most one slide, or the speed is too high for this machine."""


class Summary(msgspec.Struct, frozen=True):
    """Everything, as in `summary.json`."""

    events: int
    """Published, on all topics."""
    events_per_s: float
    """At full speed: from the first event published until every view contains the last."""
    predictions: int
    event_to_prediction_ms: Percentiles
    """Live: from the event's record to its prediction in a consumer's hands."""
    freshness_ms: Percentiles
    """Live: from a record to its row in the store, from the processor's own histogram."""
    outcomes: int
    auc: float
    auc_static: float
    dead_letters: int
    wall_s: float
    live: Live
    quality: Quality
    skew: Skew
    held_out: dict[str, Evaluation]
    """September to December, offline, by model."""


def percentiles(values: Sequence[float]) -> Percentiles:
    """p50 and p99 of at least one value."""
    p50, p99 = np.percentile(values, [50, 99]).tolist()
    return Percentiles(round(p50, 1), round(p99, 1))


def quality(scores: pd.Series[Any], static: pd.Series[Any], late: pd.Series[Any]) -> Quality:
    """Compares; all three are indexed by flight id, and only flights in all of them count."""
    flights = scores.index.intersection(late.index).intersection(static.index)
    predicted, happened = scores[flights].to_numpy(), late[flights].to_numpy()
    return Quality(
        outcomes=len(flights),
        late=int(happened.sum()),
        auc=float(roc_auc_score(happened, predicted)),
        auc_static=float(roc_auc_score(happened, static[flights])),
        log_loss=float(log_loss(happened, predicted)),
        log_loss_static=float(log_loss(happened, static[flights])),
        calibration=_calibration(predicted, happened),
    )


def _calibration(predicted: np.ndarray, happened: np.ndarray) -> list[Bin]:
    bins = []
    for low, high in pairwise(_BINS):
        members = (predicted >= low) & (predicted < high)
        if members.any():
            bins.append(
                Bin(low, high, int(members.sum()), float(predicted[members].mean()), float(happened[members].mean()))
            )
    return bins


def skew(scores: pd.Series[Any], recomputed: pd.Series[Any]) -> Skew:
    """Compares the scores of the flights in both."""
    flights = scores.index.intersection(recomputed.index)
    difference = np.abs(scores[flights].to_numpy() - recomputed[flights].to_numpy())
    return Skew(float((difference < 1e-6).mean()), float(difference.max()))


def print_summary(summary: Summary, console: Console) -> None:
    """Prints it as tables."""
    live, found = summary.live, summary.quality
    numbers = Table("what", "value", box=box.SIMPLE_HEAD, title="The replay", title_justify="left")
    rows = {
        "events published": f"{summary.events:,}",
        "at full speed (30 September)": f"{summary.events_per_s:,.0f} events/s until every view contained them",
        "live (1 October)": f"{live.events:,} events in {live.seconds:.0f} s, {live.speed:g} x real time",
        "predictions": f"{summary.predictions:,}, of which live {live.predictions:,} "
        f"({live.barriers_met:,} with their own event in the features)",
        "event to prediction": _both(summary.event_to_prediction_ms),
        "... in event time": f"p99 {live.delay_event_s:.0f} s, {_against_slide(live.delay_event_s)}",
        "feature freshness": _both(summary.freshness_ms),
        "dead letters": str(summary.dead_letters),
        "live = recomputed from history": f"{summary.skew.same:.1%} of scores, largest difference "
        f"{summary.skew.largest:.3f}",
        "wall time": f"{summary.wall_s:.0f} s",
    }
    for name, value in rows.items():
        numbers.add_row(name, value)
    console.print(Group(numbers, _models(summary), _calibration_table(found)))


def _against_slide(delay_s: float) -> str:
    """What the delay means for the features."""
    if delay_s < SLIDE_S:
        return f"below one slide ({SLIDE_S} s)"
    return f"[bold red]above one slide ({SLIDE_S} s): this machine is too slow, or too busy, for this speed[/]"


def _both(found: Percentiles) -> str:
    return f"p50 {found.p50:.0f} ms, p99 {found.p99:.0f} ms"


def _models(summary: Summary) -> Table:
    found = summary.quality
    title = f"Will it arrive late? {found.outcomes:,} live predictions with an outcome, {found.late} were late"
    table = Table("features", "live AUC", "live log loss", "Sep-Dec AUC", "Sep-Dec log loss", title=title)
    table.box, table.title_justify = box.SIMPLE_HEAD, "left"
    rows = (
        ("schedule and plane only", found.auc_static, found.log_loss_static, "late_arrival_static"),
        ("with streaming windows", found.auc, found.log_loss, "late_arrival"),
    )
    for name, auc, loss, model in rows:
        offline = summary.held_out[model]
        table.add_row(name, *(f"{value:.3f}" for value in (auc, loss, offline.auc, offline.log_loss)))
    return table


def _calibration_table(found: Quality) -> Table:
    table = Table("predicted", "flights", "mean predicted", "were late", title="Calibration", title_justify="left")
    table.box = box.SIMPLE_HEAD
    for each in found.calibration:
        table.add_row(
            f"{each.low:.0%} to {each.high:.0%}", str(each.flights), f"{each.predicted:.1%}", f"{each.observed:.1%}"
        )
    return table
