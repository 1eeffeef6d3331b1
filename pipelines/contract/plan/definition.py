"""How a definition of a view is named wherever it is stored."""

from __future__ import annotations

from forebay.pipelines.contract.plan.views import StreamView


def definition(view: StreamView) -> str:
    """Names a view's present definition. A changed one is computed anew, from all that Kafka retains."""
    return f"{view.name}@{view.fingerprint}"
