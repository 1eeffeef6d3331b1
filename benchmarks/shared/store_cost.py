"""What work costs the store: its own count of its processor's time, and the wall clock of who waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis


class Cost(NamedTuple):
    """Of some work, in microseconds."""

    server_us: float
    """The store's processor time, sockets included (`INFO cpu`)."""
    commands_us: float
    """Inside the commands it was sent (`INFO commandstats`); a script's time contains that of its calls."""
    wall_us: float
    """From the first byte sent to the last answer; packing the commands included."""

    def per(self, count: int) -> Cost:
        """A share of it."""
        return Cost(*(each / count for each in self))


_SENT = ("cmdstat_evalsha", "cmdstat_hmget")
"""What the feature processor sends."""


class StoreMeter:
    """Watches one store that nobody else uses."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self.client: Any = redis.Redis(host, int(port))

    def cost(self, work: Callable[[], object]) -> Cost:
        """Does the work, and says what it cost."""
        self.client.config_resetstat()
        before = self._server_us()
        start = time.perf_counter_ns()
        work()
        wall_us = (time.perf_counter_ns() - start) / 1e3
        server_us = self._server_us() - before
        stats = self.client.info("commandstats")
        inside = sum(stats[name]["usec"] for name in _SENT if name in stats)
        return Cost(server_us, inside, wall_us)

    def _server_us(self) -> float:
        cpu = self.client.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6

    def used_bytes(self) -> int:
        """Memory of everything stored, without connections' buffers (`used_memory_dataset`)."""
        return signed(int(self.client.info("memory")["used_memory_dataset"]))

    def process_bytes(self) -> int:
        """Memory of everything the store has allocated (`used_memory`)."""
        return int(self.client.info("memory")["used_memory"])

    def row_bytes(self, keys: list[bytes]) -> float:
        """Mean of `MEMORY USAGE`, every field counted."""
        with self.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.memory_usage(key, samples=0)
            return float(sum(pipe.execute())) / len(keys)

    def rows(self) -> int:
        """Keys of any kind."""
        return int(self.client.dbsize())

    def empty(self) -> None:
        """Removes everything, and returns when its memory is free."""
        self.client.execute_command("FLUSHALL", "SYNC")

    def close(self) -> None:
        """Closes the connection."""
        self.client.close()


def signed(size: int) -> int:
    """A size of the store's that may be below zero: what it holds less what it estimates for everything else.

    It is printed as an unsigned number of 64 bits.
    """
    return size - 2**64 if size >= 2**63 else size
