"""An explanation as one HTML page: no script, nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from forebay.explain.explanation import ExplainedEvent, ExplainedView, Explanation
from forebay.explain.text import effect, number, utc, verdict
from forebay.explain.timeline import bars, span_of

_LEFT, _RIGHT = 230, 890
"""Where time begins and ends in a drawing, whose labels stand to the left."""

_BAR_HEIGHT = 18

_LABEL_LENGTH = 36


def page(explanation: Explanation) -> str:
    """Renders the page."""
    environment = Environment(
        loader=PackageLoader("forebay.explain", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"utc": utc, "number": number, "effect": effect}
    scores = ", ".join(f"{name} {number(score)}" for name, score in explanation.scores.items())
    return environment.get_template("page.html").render(
        title=f"{explanation.position}: {scores}",
        e=explanation,
        same=explanation.same_scores and explanation.same_features is not False,
        verdict=verdict(explanation),
        features=explanation.features_by_effect(),
        views=[_view(explanation, each) for each in explanation.views],
    )


def _view(explanation: Explanation, view: ExplainedView) -> dict[str, Any]:
    """Collects what the page shows of a view, coordinates included."""
    windows = bars(explanation, view)
    span = span_of(windows, explanation.as_of_ms)

    def x(ms: int) -> float:
        return round(_LEFT + span.at(ms) * (_RIGHT - _LEFT), 1)

    def bar(row: int) -> dict[str, Any]:
        each = windows[row]
        names = ", ".join(name.removeprefix(f"{view.alias}__") for name in each.features)
        label = names if len(names) <= _LABEL_LENGTH else f"{names[: _LABEL_LENGTH - 4]} ..."
        width = round(x(each.end_ms) - x(each.start_ms), 1)
        return {"x": x(each.start_ms), "y": row * _BAR_HEIGHT + 3, "width": width, "names": names, "label": label}

    def dot(event: ExplainedEvent) -> dict[str, Any]:
        kind = "refused" if event.refused else "fence" if event.position == view.fence else "event"
        return {"x": x(event.event_ms), "kind": kind, "shown": f"{event.position}, {utc(event.event_ms)}"}

    return {
        "name": view.view,
        "entity": ", ".join(f"{name} {value}" for name, value in view.entity.items()),
        "fence": view.fence,
        "events": view.events,
        "bars": [bar(row) for row in range(len(windows))],
        "dots": [dot(event) for event in view.events if span.start_ms <= event.event_ms < span.end_ms],
        "height": len(windows) * _BAR_HEIGHT + 40,
        "scored_x": x(explanation.as_of_ms),
        "start_ms": span.start_ms,
        "end_ms": span.end_ms,
    }
