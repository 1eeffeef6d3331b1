"""The public keys of an issuer, fetched again as they change."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import structlog

from forebay.serving.access.errors import SEND, KeysUnavailable, Unauthenticated
from forebay.serving.access.settings import Issuer, is_address

log = structlog.get_logger("forebay.serve")

ANSWER_S = 5.0
"""How long the issuer may take for each part of its answer."""

MAX_BYTES = 1 << 20


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The keys come from the address that was given: a redirect might lead to one that is not https."""

    def redirect_request(self, *_: Any) -> None:
        """Follows none."""


class KeySet:
    """Keys by their id. All methods belong to one event loop.

    Keys that can't be fetched again stay in use: an issuer that is away must not end everybody's access.
    """

    def __init__(self, issuer: Issuer, monotonic_s: Callable[[], float]) -> None:
        self._issuer = issuer
        self._monotonic_s = monotonic_s
        self._keys: dict[str, tuple[Any, jwt.PyJWK]] = {}
        """By id, a key as it was published, and as it is used."""
        self._asked_s = self._loaded_s = float("-inf")
        self._loading: asyncio.Task[None] | None = None

    async def key(self, identifier: str) -> jwt.PyJWK:
        """Returns the key of this id; one that is not known is asked for, at most once in `refetch_s`.

        Args:
            identifier: empty: the only key that there is.

        Raises:
            Unauthenticated: the issuer publishes no such key.
            KeysUnavailable: its keys could not be fetched yet.
        """
        found = self._find(identifier)
        if found is not None and self._monotonic_s() < self._loaded_s + self._issuer.refresh_s:
            return found
        if self._loading is None and self._monotonic_s() >= self._asked_s + self._issuer.refetch_s:
            self._asked_s = self._monotonic_s()
            self._loading = asyncio.create_task(self._load())
        if found is not None:
            # Nobody waits for keys that are merely old.
            return found
        if self._loading is not None:
            await asyncio.shield(self._loading)
            found = self._find(identifier)
        if found is None and self._loaded_s == float("-inf"):
            raise KeysUnavailable("the keys of the tokens' issuer could not be fetched; try again")
        if found is None:
            raise Unauthenticated(f"the token is signed with a key that its issuer does not publish: {SEND}")
        return found

    def _find(self, identifier: str) -> jwt.PyJWK | None:
        if not identifier and len(self._keys) == 1:
            return next(iter(self._keys.values()))[1]
        return self._keys.get(identifier, (None, None))[1]

    async def _load(self) -> None:
        try:
            published = await asyncio.to_thread(_fetch, self._issuer.jwks)
            self._keys = self._usable(published)
            self._loaded_s = self._monotonic_s()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.error("keys of an issuer not fetched", issuer=self._issuer.issuer, error=str(error))
        finally:
            self._loading = None

    def _usable(self, published: Any) -> dict[str, tuple[Any, jwt.PyJWK]]:
        """Returns the keys that signatures can be checked with; those that did not change stay the same objects."""
        found: dict[str, tuple[Any, jwt.PyJWK]] = {}
        for each in published["keys"]:
            identifier = each.get("kid", "")
            known = self._keys.get(identifier)
            if known is not None and known[0] == each:
                found[identifier] = known
                continue
            if each.get("kty") == "oct" or each.get("use", "sig") != "sig":
                continue
            try:
                found[identifier] = each, jwt.PyJWK(each)
            except jwt.PyJWTError as error:
                log.warning("key of an issuer not usable", issuer=self._issuer.issuer, kid=identifier, error=str(error))
        return found


def _fetch(jwks: str) -> Any:
    if not is_address(jwks):
        return json.loads(Path(jwks).read_bytes())
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(jwks, timeout=ANSWER_S) as answer:
        data = answer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{jwks} answers with more than {MAX_BYTES} bytes")
    return json.loads(data)
