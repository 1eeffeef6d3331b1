"""Seeds side by side: processes that run one after another of them, each on a broker of its own."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from forebay.local.process import StackError
from forebay.local.topics import brokers_missing
from tests.e2e.deployment import Place
from tests.kafka.apache_kafka import ApacheKafka, apache_kafka

R = TypeVar("R")

END_S = 20.0
"""How long a job may take to end what it started, when it is told to."""


def run_seeds(
    seeds: Sequence[int], jobs: int, place: Place, run_seed: Callable[[int, Place, ApacheKafka], R]
) -> Iterator[R]:
    """Results in the order in which they come. What runs ends with the iterator, however that ends.

    Args:
        run_seed: runs one; can be pickled.

    Raises:
        StackError: a job ended by itself, its broker with it.
    """
    with ExitStack() as ended:
        free: list[Connection] = [_job(place, run_seed, ended) for _ in range(min(jobs, len(seeds)))]
        busy: list[Connection] = []
        waiting = list(reversed(seeds))
        while waiting or busy:
            while waiting and free:
                busy.append(free.pop())
                busy[-1].send(waiting.pop())
            for each in wait(busy):
                assert isinstance(each, Connection)
                try:
                    result = each.recv()
                except EOFError as error:
                    raise StackError("a job of the fault harness ended by itself: what it said is above") from error
                busy.remove(each)
                free.append(each)
                yield result


def _job(place: Place, run_seed: Callable[[int, Place, ApacheKafka], R], ended: ExitStack) -> Connection:
    # A fresh interpreter: a forked one would share the threads' locks of the Kafka library.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(place, run_seed, theirs))
    process.start()
    theirs.close()
    ended.callback(_end, process)
    ended.callback(ours.close)
    return ours


def _end(process: BaseProcess) -> None:
    process.terminate()
    process.join(END_S)
    process.kill()
    process.join()


def _work(place: Place, run_seed: Callable[[int, Place, ApacheKafka], R], seeds: Connection) -> None:
    """Runs seeds as they come, until the other side is gone or says so."""
    # Ctrl-C reaches every process of the terminal: the one that asked for the seeds decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with apache_kafka() as broker:
        while True:
            try:
                seed = seeds.recv()
            except EOFError:
                return
            seeds.send(run_seed(seed, place._replace(brokers=broker.bootstrap), broker))
            _revive(broker)


def _revive(broker: ApacheKafka) -> None:
    """Whatever a seed did to the broker, the next one finds it running."""
    if brokers_missing(broker.bootstrap):
        broker.kill()
        broker.start()
