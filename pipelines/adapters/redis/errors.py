"""Errors of the store's client: which of them pass, and what repairs the others."""

from __future__ import annotations

import re

import redis

from forebay.pipelines.errors import StoreRefused, StoreUnavailable

CLIENT_ERRORS = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError)

_REFUSED_CONNECTION = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
"""redis-py makes them connection errors, but no other attempt ends otherwise."""

_PASSING = (
    *(redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.exceptions.NoScriptError),
    *(redis.exceptions.OutOfMemoryError, redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError),
)
"""Ended by a failover, by memory that is given back, or by the next connection, which loads the scripts again."""

_PASSING_CODES = re.compile(
    r"(^|[-: ])(OOM|LOADING|READONLY|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOSCRIPT|MISCONF|NOREPLICAS|UNKILLABLE) "
)
"""The same, and a disk that is full, where the client knows no class for them or a script passes them on."""

_NO_PERMISSION = (redis.exceptions.NoPermissionError, redis.exceptions.AuthorizationError)
_REPAIRS: tuple[tuple[str, str], ...] = (
    ("WRONGTYPE", "another application uses this key: remove it, or give Forebay a database of its own (option db=)"),
    ("DB index", "name a database that the server has (option db=)"),
    ("MOVED", "name a server that is no member of a cluster: clusters are not supported"),
    ("unknown command", "use Valkey 7.2 or Redis 7, or later, and rename no command that docs/operations.md lists"),
)


def explained(error: Exception, store: str, what: str) -> StoreUnavailable | StoreRefused:
    """Makes the error that Forebay raises for one of `CLIENT_ERRORS`.

    Args:
        store: host:port.
        what: was asked for, and of which key; empty where nothing was yet.
    """
    if _passes(error):
        return StoreUnavailable(f"online store {store}: {error}")
    return StoreRefused(f"online store {store} refuses{what}: {error}; {_repair(error)}")


def _passes(error: Exception) -> bool:
    if isinstance(error, _REFUSED_CONNECTION):
        return False
    return isinstance(error, _PASSING) or bool(_PASSING_CODES.search(str(error)))


def _repair(error: Exception) -> str:
    if isinstance(error, _NO_PERMISSION):
        return "grant its user what docs/operations.md lists under the store's permissions (ACL SETUSER)"
    if isinstance(error, redis.AuthenticationError):
        return "give the right password, and username, in the connection string (options password=, username=)"
    for text, repair in _REPAIRS:
        if text in str(error):
            return repair
    return "docs/operations.md lists what Forebay needs of the store; the server's log may say more"
