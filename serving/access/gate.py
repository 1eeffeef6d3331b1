"""The gate: every request of every door goes through it."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from forebay.serving.access.api_keys import ApiKeys
from forebay.serving.access.audit import AuditLog, open_audit_log
from forebay.serving.access.errors import SEND, AccessError, Forbidden, Unauthenticated
from forebay.serving.access.key_file import PREFIX
from forebay.serving.access.limits import Limits
from forebay.serving.access.metrics import REFUSED
from forebay.serving.access.principal import SHARED_TOKEN, Principal
from forebay.serving.access.settings import AccessSettings
from forebay.serving.access.visit import PRESENT, Visit

_SCHEME = "bearer "

_Identify = Callable[[str], Awaitable[Principal]]


class Gate:
    """Lets requests in, or not. All methods belong to one event loop."""

    def __init__(
        self,
        token: str | None,
        api_keys: ApiKeys | None,
        identify_token: _Identify | None,
        limits: Limits | None,
        audit: AuditLog | None,
    ) -> None:
        """Args:
        token: the shared one; None: there is none.
        api_keys: None: no keys are accepted.
        identify_token: says who brings a signed token; None: none are accepted.
        limits: None: everybody may ask for as much as they like.
        audit: from now on used by the gate only; None: nothing is written down.
        """
        self._token = token.encode() if token else None
        self._api_keys = api_keys
        self._identify_token = identify_token
        self._limits = limits
        self._audit = audit

    @asynccontextmanager
    async def let_in(self, visit: Visit, authorization: str) -> AsyncIterator[None]:
        """Surrounds the answer to a visit that may be made.

        Args:
            authorization: the header of this name; empty: there is none.

        Raises:
            AccessError: it may not.
        """
        try:
            visit.principal = await self._identify(authorization)
            if visit.need is not None and not visit.principal.may(visit.need):
                raise Forbidden(visit.principal, visit.need)
            if self._limits is not None:
                visit.rate = self._limits.enter(visit.principal.id)
        except AccessError as error:
            REFUSED.labels(visit.door, type(error).__name__).inc()
            raise
        before = PRESENT.set(visit)
        try:
            yield
        finally:
            PRESENT.reset(before)
            if self._limits is not None:
                self._limits.leave(visit.principal.id)

    def record(self, visit: Visit, outcome: str) -> None:
        """Writes down what became of a visit, let in or not.

        Args:
            outcome: the status that the door answered with.
        """
        if self._audit is not None:
            self._audit.write(_now(), visit, outcome)

    def close(self) -> None:
        """Ends the audit log, once no more visits come."""
        if self._audit is not None:
            self._audit.close()

    async def _identify(self, authorization: str) -> Principal:
        credential = authorization[len(_SCHEME) :].strip()
        if authorization[: len(_SCHEME)].lower() != _SCHEME or not credential:
            raise Unauthenticated(SEND[0].upper() + SEND[1:])
        if self._token is not None and hmac.compare_digest(credential.encode("latin-1", "replace"), self._token):
            return SHARED_TOKEN
        if self._api_keys is not None and credential.startswith(PREFIX):
            return self._api_keys.identify(credential)
        if self._identify_token is not None and credential.count(".") == 2:
            return await self._identify_token(credential)
        raise Unauthenticated(f"this is no credential of this endpoint: {SEND}")


def build_gate(token: str | None, access: AccessSettings) -> Gate | None:
    """Builds the gate of an endpoint; None: everybody may do everything.

    Raises:
        SettingsError: a file that the settings name can't be used.
    """
    if not token and not access.asks:
        return None
    keys = ApiKeys(Path(access.api_keys), time.monotonic, _now) if access.api_keys is not None else None
    limits = Limits(access.limits, time.monotonic) if access.limits is not None else None
    audit = open_audit_log(access.audit) if access.audit is not None else None
    return Gate(token, keys, _identify_token(access), limits, audit)


def _identify_token(access: AccessSettings) -> _Identify | None:
    if not access.tokens:
        return None
    # Cryptography is loaded where tokens are checked, and nowhere else.
    from forebay.serving.access.tokens import Tokens

    return Tokens(access.tokens, time.monotonic, _now).identify


def _now() -> datetime:
    return datetime.now(UTC)
