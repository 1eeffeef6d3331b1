"""An explanation on a terminal."""

from __future__ import annotations

from rich.console import Console

from forebay.cli.tables import add_row, new_table, print_table
from forebay.explain.explanation import ExplainedView, Explanation
from forebay.explain.text import effect, number, utc, verdict
from forebay.explain.timeline import bars, span_of

WIDTH = 60
"""Characters of a drawn window."""

MAX_EVENTS = 12
"""Events of a view that are listed."""


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Scores, features by their effect, and each view's events with its windows drawn above them."""
    model = f"model {explanation.model}, version {explanation.version} ({explanation.model_hash})"
    console.print(f"{explanation.position}, as of {utc(explanation.as_of_ms)}: {model}", highlight=False, markup=False)
    _print_scores(explanation, console)
    _print_features(explanation, console)
    for view in explanation.views:
        _print_view(explanation, view, console)
    for note in explanation.notes:
        console.print(note, highlight=False, markup=False)


def _print_scores(explanation: Explanation, console: Console) -> None:
    table = new_table("", "score", "predicted", "from the records", right=("predicted", "from the records"))
    for name, score in explanation.scores.items():
        add_row(table, name, number(score), number(explanation.refolded_scores.get(name)))
    print_table(table, console)
    console.print(f"from the records: {verdict(explanation)}", highlight=False)


def _print_features(explanation: Explanation, console: Console) -> None:
    table = new_table("features, by their effect", "feature", "from", "until", "value", "score without it changes by")
    for each in explanation.features_by_effect():
        window = [utc(ms) for ms in (each.start_ms, each.end_ms) if ms is not None] or ["", ""]
        add_row(table, each.name, *window, number(each.refolded), effect(each.effects))
    print_table(table, console)


def _print_view(explanation: Explanation, view: ExplainedView, console: Console) -> None:
    entity = ", ".join(f"{name} {value}" for name, value in view.entity.items())
    title = f"view {view.view}, {entity}, up to {view.fence or 'no row'}"
    table = new_table(title, "event", "at", "score without it changes by")
    for each in reversed(view.events[-MAX_EVENTS:]):
        change = f"not in the row: {each.refused}" if each.refused else effect(each.effects)
        add_row(table, each.position, utc(each.event_ms), change)
    print_table(table, console)
    left_out = len(view.events) - MAX_EVENTS
    if left_out > 0:
        console.print(f"and {left_out} events before them", highlight=False)
    for line in draw(explanation, view):
        console.print(line, highlight=False, markup=False, no_wrap=True)


def draw(explanation: Explanation, view: ExplainedView) -> list[str]:
    """Draws a view's windows, one per line, and below them its events: a digit counts those on one character."""
    windows = bars(explanation, view)
    if not windows:
        return []
    span = span_of(windows, explanation.as_of_ms)
    lines = []
    for each in windows:
        first, last = int(span.at(each.start_ms) * (WIDTH - 1)), int(span.at(each.end_ms) * (WIDTH - 1))
        bar = " " * first + "[" + "-" * (last - first - 1) + ")"
        names = ", ".join(name.removeprefix(f"{view.alias}__") for name in each.features)
        lines.append(f"{bar:{WIDTH + 1}} {names}")
    counts = [0] * WIDTH
    for event in view.events:
        if not event.refused and span.start_ms <= event.event_ms < span.end_ms:
            counts[int(span.at(event.event_ms) * (WIDTH - 1))] += 1
    events = "".join("." if not count else str(count) if count < 10 else "+" for count in counts)
    return [*lines, f"{events}  {utc(span.start_ms)} to {utc(span.end_ms)}"]
