"""`make demo`: from a year of flights to checked predictions, on one machine, in about four minutes."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pandas as pd
from rich.console import Console
from rich.markup import escape

from examples.flights import summary as summaries
from examples.flights.events import (
    ARRIVALS,
    SCHEDULED,
    cut_histories,
    outcomes,
    write_histories,
    write_planes,
)
from examples.flights.plot import save_plot
from examples.flights.predictions import PredictionListener, Received
from examples.flights.times import ORIGIN_ZONE
from examples.flights.train import Evaluation, train
from forebay.cli.error_line import error_line
from forebay.cli.steps_view import step
from forebay.history.backfill import backfill, progress_bar
from forebay.history.replay import Published, Replayed, Span, replay_with_progress, replayed_events
from forebay.history.training import feature_columns, training_rows
from forebay.local.process import StackError
from forebay.local.stack import LocalStack, StackSettings
from forebay.local.up import register, run_processes
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.history.load import History
from forebay.serving.models.model import load_model
from forebay.serving.worker.build import scored_source
from forebay.watch.lag import ProcessorLag
from forebay.watch.metrics_page import bucket_counts, quantile, scrape, total

FOLDER = Path(".demo")
DATA = FOLDER / "data"
MODELS = Path("models")
PREDICTIONS = "flights.predictions"

SPEED = 600.0
LIVE_S = 72.0


def _local_ms(time_of_day: str) -> int:
    return int(pd.Timestamp(time_of_day, tz=ORIGIN_ZONE).timestamp() * 1_000)


FILL_MS = _local_ms("2013-09-30 00:00")
LIVE_MS = _local_ms("2013-10-01 04:00")
END_MS = LIVE_MS + int(SPEED * LIVE_S * 1_000)


class Watched(NamedTuple):
    """What was seen of the replay."""

    filled: Replayed
    fill_s: float
    """From the first event published until every view contained the last."""
    live: Replayed
    live_from: int
    """Number of predictions received before the live part."""
    freshness: tuple[dict[float, float], dict[float, float]]
    """The processor's freshness histogram before and after the live part."""


def main() -> None:
    """Runs the demo; exits 2 with one line of error if a part of it fails."""
    settings = StackSettings(
        repo=Path("feature_repo"),
        model=MODELS / "late_arrival",
        topic=SCHEDULED,
        output=PREDICTIONS,
        folder=FOLDER,
        clock="watermark",
        env={"FLIGHTS_DATA": str(DATA.resolve())},
    )
    with error_line():
        stack = LocalStack(settings)
        try:
            run(stack, Console())
        finally:
            stack.stop()


def run(stack: LocalStack, console: Console) -> None:
    """The whole walk. Raises `ForebayError`."""
    started = time.monotonic()
    history = DATA / "history"
    with step(console, "336,776 flights of 2013 as event histories"):
        write_histories(history)
        write_planes(DATA / "planes.parquet")
    plan = register(stack, console)
    held_out = _train(plan, history, console)
    run_processes(stack, plan, console)
    recent = DATA / "recent"
    cut_histories(history, recent, FILL_MS, END_MS)
    lag = ProcessorLag(plan, stack.brokers, stack.redis)
    with PredictionListener(str(stack.brokers), PREDICTIONS, stack.settings.partitions) as listener:
        watched = _replay(plan, recent, stack, listener, lag, console)
    lag.close()
    _ask(stack, plan, recent, console)
    summary, live = _summarise(plan, stack, listener.received, watched, held_out, started)
    (FOLDER / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary)))
    latencies = [each.latency_ms for each in listener.received[watched.live_from :]]
    save_plot(FOLDER / "flights.png", live, latencies, "Forebay: late arrivals, foreseen an hour before departure")
    summaries.print_summary(summary, console)
    console.print(_NEXT, highlight=False)


_NEXT = f"""\
Look next at
  {FOLDER}/flights.png            the day, the ROC curves, the latencies
  {FOLDER}/summary.json           these numbers, for programs
  {FOLDER}/logs/                  what each process said
  feature_repo/flights.py      the declarations all of this was computed from
  forebay up --help            the same stack with your own repo and model"""


def _train(plan: Plan, history: Path, console: Console) -> dict[str, Evaluation]:
    """Backfills every view, and trains both models on January to August."""
    backfill(plan, History(history), console)
    scheduled = History(history).count(scored_source(plan, SCHEDULED))
    with progress_bar(console) as progress:
        tasks: dict[str, Any] = {}

        def on_rows(model: str, count: int) -> None:
            if model not in tasks:
                tasks[model] = progress.add_task(f"training rows of {model}", total=scheduled)
            progress.advance(tasks[model], count)

        return train(plan, history, MODELS, on_rows)


def _replay(
    plan: Plan, recent: Path, stack: LocalStack, listener: PredictionListener, lag: ProcessorLag, console: Console
) -> Watched:
    fill = replayed_events(plan, History(recent), Span(FILL_MS, LIVE_MS))
    live = replayed_events(plan, History(recent), Span(LIVE_MS, END_MS))
    begun = time.monotonic()
    filled = replay_with_progress(fill, stack.brokers, 0, console, "30 September, full speed")
    with step(console, "features of 30 September complete"):
        _wait(stack, lambda: not any(lag.records().values()), "the processor does not contain every event")
        fill_s = time.monotonic() - begun
        _wait_for_predictions(stack, listener, fill)
    before, live_from = _freshness(stack), len(listener.received)
    replayed = replay_with_progress(live, stack.brokers, SPEED, console, f"1 October, {SPEED:g} x real time")
    _wait_for_predictions(stack, listener, [*fill, *live])
    return Watched(filled, fill_s, replayed, live_from, (before, _freshness(stack)))


def _wait_for_predictions(stack: LocalStack, listener: PredictionListener, events: list[Published]) -> None:
    expected = sum(event.topic == SCHEDULED for event in events)
    _wait(stack, lambda: len(listener.received) >= expected, f"fewer than {expected} predictions")


def _wait(stack: LocalStack, done: Callable[[], bool], otherwise: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        stack.check_running()
        if time.monotonic() > deadline:
            raise StackError(f"{otherwise} after {timeout_s:g} s; see the logs in {stack.logs}")
        time.sleep(0.02)


def _freshness(stack: LocalStack) -> dict[float, float]:
    return bucket_counts(scrape(stack.metrics_urls["process"]), "forebay_freshness_seconds")


def _ask(stack: LocalStack, plan: Plan, recent: Path, console: Console) -> None:
    """A few questions over HTTP: the flight scheduled last, as of now, and one that nobody knows."""
    scheduled = pd.read_parquet(recent / f"{SCHEDULED}.parquet").iloc[-1]
    fields = plan.service("late_arrival").field_types
    flight = json.loads(scheduled[list(fields)].to_json())
    unknown = flight | {"tailnum": "N00000", "origin": "XXX", "dest": "XXX", "carrier": "??"}
    console.print("\nOver HTTP, as of the newest event:", highlight=False)
    for path, entity in (("/v1/predict", flight), ("/v1/features", flight), ("/v1/predict", unknown)):
        begun = time.monotonic()
        answer = _post(stack.url + path, {"entities": [entity]})
        took_ms = (time.monotonic() - begun) * 1e3
        said = _short(answer["predictions" if path == "/v1/predict" else "results"][0])
        asked = f"{entity['carrier']} {entity['origin']} to {entity['dest']}"
        console.print(
            f"  POST {path:<13} {asked:<14} {took_ms:4.1f} ms  {escape(said)}", highlight=False, soft_wrap=True
        )


def _short(answer: dict[str, Any]) -> str:
    if "scores" in answer:
        return f"late with probability {answer['scores']['late']:.3f}"
    shown = {
        "origin_departures__dep_delay_mean_1h": "origin",
        "destination_arrivals__arr_delay_mean_3h": "destination",
        "carrier_departures__dep_delay_mean_3h": "carrier",
    }
    known = {name: answer["features"][feature] for feature, name in shown.items()}
    return "mean delay " + ", ".join(
        f"{name} {'unknown' if delay is None else f'{round(delay)} min'}" for name, delay in known.items()
    )


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10.0) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def _summarise(
    plan: Plan,
    stack: LocalStack,
    received: list[Received],
    watched: Watched,
    held_out: dict[str, Evaluation],
    started: float,
) -> tuple[summaries.Summary, pd.DataFrame]:
    """The summary, and one row per live prediction with an outcome, for the plot."""
    history, live = DATA / "history", received[watched.live_from :]
    scores = _by_flight(live)
    late = outcomes(pd.read_parquet(history / f"{ARRIVALS}.parquet", columns=["flight_id", "arr_delay"]))
    recomputed = {model: _recomputed(plan, model) for model in held_out}
    found = summaries.quality(scores, recomputed["late_arrival_static"], late)
    latency = summaries.percentiles([each.latency_ms for each in live])
    before, after = watched.freshness
    pages = [scrape(stack.metrics_urls[name]) for name in ("process", "score")]
    times = pd.Series({each.prediction.request["flight_id"]: each.prediction.event_ms for each in live})
    joined = pd.DataFrame(
        {"event_ms": times, "score": scores, "static": recomputed["late_arrival_static"], "late": late}
    ).dropna()
    joined["late"] = joined["late"].astype(bool)
    return summaries.Summary(
        events=watched.filled.events + watched.live.events,
        events_per_s=watched.filled.events / watched.fill_s,
        predictions=len(received),
        event_to_prediction_ms=latency,
        freshness_ms=summaries.Percentiles(*(round(quantile(before, after, share) * 1e3, 1) for share in (0.5, 0.99))),
        outcomes=found.outcomes,
        auc=found.auc,
        auc_static=found.auc_static,
        dead_letters=int(sum(total(page, "forebay_dead_letters_total") for page in pages)),
        wall_s=time.monotonic() - started,
        live=summaries.Live(
            speed=SPEED,
            seconds=watched.live.wall_s,
            events=watched.live.events,
            predictions=len(live),
            barriers_met=sum(each.prediction.barrier_met for each in live),
            delay_event_s=latency.p99 * SPEED / 1e3,
        ),
        quality=found,
        skew=summaries.skew(scores, recomputed["late_arrival"]),
        held_out=held_out,
    ), joined


def _by_flight(received: list[Received]) -> pd.Series[Any]:
    return pd.Series({each.prediction.request["flight_id"]: each.prediction.scores["late"] for each in received})


def _recomputed(plan: Plan, model: str) -> pd.Series[Any]:
    """Flight id -> score from history, features as of the event's time."""
    rows = training_rows(plan, model, SCHEDULED, History(DATA / "recent"), lambda _count: None)
    columns = {name: rows[name].astype("float64").to_numpy() for name in feature_columns(rows)}
    return pd.Series(load_model(MODELS / model).run(columns).scores["late"], index=rows["flight_id"])


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    main()
