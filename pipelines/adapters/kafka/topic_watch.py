"""Notices that a topic was deleted and made anew while it is read: its offsets then say nothing any more."""

from __future__ import annotations

import threading
from typing import Protocol

from forebay.pipelines.contract.kafka.incarnation import Incarnation

LOOK_S = 1.0
"""How often the brokers are asked."""


class Glance(Protocol):
    """What the watch asks the brokers."""

    def glance(self, *topics: str) -> dict[str, Incarnation]:
        """Returns those of the topics that the brokers describe now."""
        ...


class TopicWatch:
    """Looks at one topic from a thread of its own: an answer of the brokers may take long."""

    def __init__(self, topics: Glance, known: Incarnation) -> None:
        self._topics = topics
        self._known = known
        self._stopped = threading.Event()
        self.other: Incarnation | None = None
        """Another incarnation of the topic, once it was seen."""

    def start(self) -> None:
        """Begins to look; the thread ends with `stop`, or with the process."""
        threading.Thread(target=self._run, name="topic-watch", daemon=True).start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stopped.set()

    def look(self) -> None:
        """Asks once."""
        present = self._topics.glance(self._known.topic).get(self._known.topic)
        if present is not None and present.topic_id != self._known.topic_id:
            self.other = present

    def _run(self) -> None:
        while self.other is None and not self._stopped.wait(LOOK_S):
            self.look()
