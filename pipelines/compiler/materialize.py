"""Fills batch views: `python -m forebay.pipelines.compiler.materialize --repo DIR --end-ms MS [VIEW ...]`.

`--start-ms` may be given too. Prints a `Materialized` as JSON; what Feast prints goes to stderr. Else one line on
stderr and the error's status.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from feast import FeatureStore, FeatureView
from redis.exceptions import ConnectionError as RedisConnectionError

from forebay.pipelines.compiler.registry import open_registry
from forebay.pipelines.contract.store.materialized import Materialized, MaterializedView
from forebay.pipelines.errors import ForebayError, PlanError, StoreUnavailable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def materialize(repo: Path, names: Sequence[str], start: datetime | None, end: datetime) -> Materialized:
    """Copies the newest row of every entity into the online store, view by view.

    Args:
        names: batch views; empty: all of them.
        start: event time of the first row that is read; None: of each view, where it was left last time, else as far
            back as its ttl reaches, else 1970 (`feast materialize-incremental` goes back a year).
        end: event time of the last row.

    Raises:
        PlanError: a view is unknown or can't be materialized, or Feast failed; views before it are done.
        StoreUnavailable: the store does not answer.
    """
    registry = open_registry(repo)
    left = {view.name: "`forebay process` keeps it" for view in registry.stream_views}
    batch: dict[str, FeatureView] = {}
    for view in sorted(registry.batch_views, key=lambda view: view.name):
        if view.online and view.enabled:
            batch[view.name] = view
        else:
            left[view.name] = "it is disabled" if view.online else "it is not online"
    for name in names:
        if name not in batch:
            why = left.get(name, f"there is no such feature view; known are {', '.join(batch) or 'none'}")
            raise PlanError(f"feature view {name!r} is not materialized: {why}")
    store = FeatureStore(repo_path=str(repo))
    done = [_materialize(store, batch[name], start, end) for name in names or batch]
    return Materialized(done, dict(sorted(left.items())))


def _materialize(store: FeatureStore, view: FeatureView, start: datetime | None, end: datetime) -> MaterializedView:
    first = start or view.most_recent_end_time or (max(_EPOCH, end - view.ttl) if view.ttl else _EPOCH)
    if first < end:
        try:
            store.materialize(first, end, [view.name])
        except RedisConnectionError as error:
            raise StoreUnavailable(f"feature view {view.name!r}: the online store does not answer: {error}") from error
        except Exception as error:
            # Feast, pandas, Dask and the user's file: whatever it raises, this view is not done.
            raise PlanError(f"feature view {view.name!r}: Feast can't materialize it: {error!r}") from error
    return MaterializedView(view.name, _ms(min(first, end)), _ms(end))


def _ms(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(milliseconds=1)


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else _EPOCH + timedelta(milliseconds=ms)


def main() -> int:
    """Materializes with the arguments of the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m forebay.pipelines.compiler.materialize", description=__doc__)
    parser.add_argument("--repo", type=Path, required=True, help="folder with feature_store.yaml")
    parser.add_argument("--start-ms", type=int, help="event time to start from")
    parser.add_argument("--end-ms", type=int, required=True, help="event time to go up to")
    parser.add_argument("views", nargs="*", help="batch views; none: all")
    options = parser.parse_args()
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            end = _EPOCH + timedelta(milliseconds=options.end_ms)
            done = materialize(options.repo.resolve(), options.views, _time(options.start_ms), end)
    except ForebayError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return error.status
    sys.stdout.buffer.write(msgspec.json.encode(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
