"""Identifies who brings an OAuth2 access token: a signed JWT (RFC 9068)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import jwt
from cachetools import LRUCache

from forebay.serving.access.errors import SEND, Unauthenticated
from forebay.serving.access.key_set import KeySet
from forebay.serving.access.principal import Principal, unknown_scopes
from forebay.serving.access.settings import Issuer

REMEMBERED = 4_096
"""Tokens whose signature need not be checked again."""


class _Checked(NamedTuple):
    """A token that was found valid."""

    principal: Principal
    keys: KeySet
    key_id: str
    key: jwt.PyJWK
    expires_s: float
    """In seconds since the epoch, the leeway included."""


class Tokens:
    """Tokens of all issuers. All methods belong to one event loop."""

    def __init__(
        self, issuers: Mapping[str, Issuer], monotonic_s: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self._issuers = {each.issuer: (name, each, KeySet(each, monotonic_s)) for name, each in issuers.items()}
        self._now = now
        self._checked: LRUCache[bytes, _Checked] = LRUCache(REMEMBERED)

    async def identify(self, credential: str) -> Principal:
        """Finds who brings this token.

        Raises:
            Unauthenticated: it is not valid; with the reason.
            KeysUnavailable: nobody can say.
        """
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._checked.get(digest)
        if known is not None and self._now().timestamp() < known.expires_s:
            # Asked anew, so that a key that was withdrawn ends its tokens.
            if await known.keys.key(known.key_id) is known.key:
                return known.principal
            del self._checked[digest]
        self._checked[digest] = checked = await self._check(credential)
        return checked.principal

    async def _check(self, credential: str) -> _Checked:
        try:
            # Nothing of this is believed before the signature is checked with the issuer's own key.
            unverified = jwt.decode_complete(credential, options={"verify_signature": False})
            named = unverified["payload"].get("iss")
            if not isinstance(named, str) or named not in self._issuers:
                raise Unauthenticated(f"the token is of an issuer that is not accepted here: {SEND}")
            name, issuer, keys = self._issuers[named]
            if unverified["header"].get("alg") not in issuer.algorithms:
                raise Unauthenticated(f"the token is signed in a way that is not accepted here: {SEND}")
            key_id = unverified["header"].get("kid", "")
            key = await keys.key(key_id)
            claims = self._claims(credential, issuer, key)
            if not claims["sub"].isprintable():
                raise ValueError("a subject with control characters would break logs")
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # The library lets through what its parser raises, such as for JSON that is nested too deeply.
            raise Unauthenticated(f"the token is not valid, {_reason(error)}: {SEND}") from error
        expires_s = float(claims["exp"]) + issuer.leeway_s
        return _Checked(Principal(f"{name}:{claims['sub']}", _scopes(claims)), keys, key_id, key, expires_s)

    def _claims(self, credential: str, issuer: Issuer, key: jwt.PyJWK) -> dict[str, Any]:
        return jwt.decode(
            credential,
            key,
            algorithms=issuer.algorithms,
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway_s,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Reads the claim `scope` (a text) or `scp` (a text or a list), and passes over scopes of other servers."""
    given = claims.get("scope") or claims.get("scp") or ""
    words = given.split() if isinstance(given, str) else [each for each in given if isinstance(each, str)]
    return frozenset(words) - frozenset(unknown_scopes(words))


def _reason(error: Exception) -> str:
    """Says what is wrong, in words that repeat no part of the token."""
    known = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.ImmatureSignatureError: "its time has not come yet",
        jwt.InvalidAudienceError: "it is meant for another audience",
        jwt.InvalidSignatureError: "its signature is wrong",
        jwt.InvalidAlgorithmError: "its algorithm is not that of its key",
        jwt.MissingRequiredClaimError: "one of the claims exp, iss, aud and sub is missing",
    }
    return next((said for kind, said in known.items() if isinstance(error, kind)), "it is malformed")
