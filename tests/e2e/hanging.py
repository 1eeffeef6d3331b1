"""`forebay` with a client library, or a user's function, that hangs on demand: `python -m tests.e2e.hanging WHAT ...`.

The file that `FOREBAY_TEST_HANG` names is the demand; it is removed when it is met, so that a restarted process works.
Clients are replaced in confluent_kafka itself, before Forebay takes them from there.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

DEMAND = "FOREBAY_TEST_HANG"


def demanded() -> bool:
    """Whether to hang now, once."""
    try:
        Path(os.environ[DEMAND]).unlink()
    except FileNotFoundError:
        return False
    return True


def hang_in_commit() -> None:
    """A call that was given one second does not return."""
    import confluent_kafka

    class Producer(confluent_kafka.Producer):  # type: ignore[misc]
        def send_offsets_to_transaction(self, *args: Any) -> None:
            while demanded():
                time.sleep(3_600)
            super().send_offsets_to_transaction(*args)

    confluent_kafka.Producer = Producer


def hang_in_function() -> None:
    """A user's function loops."""
    from forebay.pipelines.feature_processor.walk import partition as partition_pipeline

    decode = partition_pipeline.Partition.prepare

    def prepare(self: Any, records: Any) -> Any:
        while demanded():
            while True:
                pass
        return decode(self, records)

    partition_pipeline.Partition.prepare = prepare  # type: ignore[method-assign]


def read_nothing() -> None:
    """A member of a group keeps its partitions, and brings nothing any more; a new one does."""
    import confluent_kafka

    class Consumer(confluent_kafka.Consumer):  # type: ignore[misc]
        member = silent = False

        def subscribe(self, topics: list[str], **callbacks: Any) -> None:
            # The consumers of other threads, which read progress and probe, are in no group: never the ones meant.
            self.member = True
            super().subscribe(topics, **callbacks)

        def poll(self, seconds: float) -> Any:
            self.silent = self.silent or (self.member and demanded())
            if self.silent:
                time.sleep(seconds)
                return None
            return super().poll(seconds)

    confluent_kafka.Consumer = Consumer
    from forebay.serving.worker import member

    member.QUIET_POLLS = 4


def end_coordination() -> None:
    """A task of the library ends, as on metadata that name no broker."""
    from aiokafka.consumer import group_coordinator

    coordinate = group_coordinator.GroupCoordinator._maybe_do_autocommit
    first: list[Any] = []

    async def fail_on_demand(self: Any, assignment: Any) -> Any:
        first.append(self)
        while self is first[0] and not self._closing.done():
            if demanded():
                raise AssertionError("Did we not perform bootstrap?")
            await asyncio.sleep(0.1)
        return await coordinate(self, assignment)

    group_coordinator.GroupCoordinator._maybe_do_autocommit = fail_on_demand


KINDS = {each.__name__: each for each in (hang_in_commit, hang_in_function, read_nothing, end_coordination)}


def main() -> None:
    """Prepares what is to hang, and becomes `forebay`."""
    from forebay.cli import main as forebay

    KINDS[sys.argv.pop(1)]()
    forebay()


if __name__ == "__main__":
    main()
