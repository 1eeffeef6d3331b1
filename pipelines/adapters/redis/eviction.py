"""The store's eviction policy: a store that drops rows or progress to save memory makes answers wrong in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
import structlog

from forebay.pipelines.errors import StoreRefused

log = structlog.get_logger("forebay.store")

_INFO, _CONFIG = ("INFO", "memory"), ("CONFIG", "GET", "maxmemory-policy")
POLICY_COMMANDS: tuple[tuple[str, ...], ...] = (_INFO, _CONFIG)
"""What `refuse_eviction` may call."""

_FIELD = b"maxmemory_policy:"
_WANTED = b"noeviction"


def refuse_eviction(call: Callable[..., Any], store: str) -> bool:
    """Refuses a store that may drop rows; False, with a warning, where the server does not tell its policy.

    Args:
        call: sends one command and returns its reply.
        store: host:port.

    Raises:
        StoreRefused: the server evicts.
    """
    policy = _from_info(call) or _from_config(call)
    if policy is None:
        log.warning(
            "the store does not tell its maxmemory-policy: make sure that it is noeviction, or allow INFO", store=store
        )
        return False
    if policy != _WANTED:
        raise StoreRefused(
            f"online store {store} has maxmemory-policy {policy.decode()}: it would drop rows and progress when it is "
            f"full, and features would be wrong; set `maxmemory-policy noeviction` in its configuration and with "
            f"CONFIG SET; if it was ever full, `forebay rebuild` what it holds"
        )
    return True


def _from_info(call: Callable[..., Any]) -> bytes | None:
    """Reads the policy from INFO, which more users may call than CONFIG."""
    reply = _answer(call, *_INFO) or b""
    lines = reply.encode() if isinstance(reply, str) else reply
    return next((line[len(_FIELD) :].strip() for line in lines.splitlines() if line.startswith(_FIELD)), None)


def _from_config(call: Callable[..., Any]) -> bytes | None:
    reply = _answer(call, *_CONFIG)
    return reply[1] if reply else None


def _answer(call: Callable[..., Any], *command: str) -> Any:
    try:
        return call(*command)
    except redis.exceptions.NoPermissionError:
        return None
    except redis.ResponseError as error:
        if "unknown command" in str(error):  # renamed, as providers do
            return None
        raise
