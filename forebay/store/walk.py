"""Iterates over a project's keys in the online store, for commands that remove some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from forebay.pipelines.adapters.redis.connection_string import parse_connection_string
from forebay.pipelines.adapters.redis.errors import explained
from forebay.pipelines.contract.store.entity_key import decode_entity_key
from forebay.pipelines.contract.store.keys import glob_literal
from forebay.pipelines.errors import StoreRefused, StoreUnavailable

_AT_ONCE = 1_000


@contextmanager
def opened(store: str, afterwards: str = "what was removed is removed, run it again") -> Iterator[Any]:
    """Opens a client of the store at this connection string.

    Args:
        afterwards: what is true and what to do where the store fails.

    Raises:
        StoreUnavailable: it can't be reached, then or while it is used.
        StoreRefused: it answers, and refuses.
    """
    where = parse_connection_string(store)
    client = redis.Redis(**where, socket_timeout=30.0, socket_connect_timeout=5.0, retry=Retry(NoBackoff(), 0))
    try:
        yield client
    except redis.RedisError as error:
        why = explained(error, f"{where['host']}:{where['port']}", "")
        if isinstance(why, StoreRefused):
            raise why from error
        raise StoreUnavailable(f"the online store failed: {error}; {afterwards}") from error
    finally:
        client.close()


def hashes(client: Any, pattern: bytes) -> Iterator[bytes]:
    """Yields the keys of all hashes that match a glob pattern."""
    yield from client.scan_iter(match=pattern, count=_AT_ONCE, _type="HASH")


def entity_rows(client: Any, project: str, texts: Sequence[str] = ()) -> Iterator[tuple[bytes, dict[str, str | int]]]:
    """Yields key and join key values of every entity row of a project.

    Args:
        texts: join key values, ordered by join key, that the keys must contain: the store then sends few others.
    """
    for key in hashes(client, b"*" + b"*".join(glob_literal(text) for text in [*texts, project])):
        entity = decode_entity_key(key, project)
        if entity is not None:
            yield key, entity
