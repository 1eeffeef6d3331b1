"""Settings of access: `access.yaml`, and the shared token."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import yaml

from forebay.pipelines.contract.unique_keys import UniqueKeys
from forebay.pipelines.errors import SettingsError
from forebay.serving.access.audit import AuditSettings
from forebay.serving.access.limits import Limit, LimitSettings

TOKEN_VARIABLE = "FOREBAY_API_TOKEN"

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key. Whoever checks a signature by a shared secret could make it too: they are left out."""

_ISSUER_NAME = re.compile(r"(?!(key|token)$)[a-z][a-z0-9_-]*")


class Issuer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OAuth2 issuer, whose access tokens are accepted."""

    issuer: str
    """The claim `iss`, to the letter."""
    audience: str
    """What the claim `aud` must name: tokens that are meant for others are refused."""
    jwks: str
    """Its public keys (RFC 7517): an address, or a file beside `access.yaml`."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    leeway_s: float = 30.0
    """How far the issuer's clock may be from this machine's."""
    refresh_s: float = 300.0
    """How old the keys may be: one that the issuer withdraws is refused after this time."""
    refetch_s: float = 30.0
    """Least time between two fetches, however many tokens name a key that is not known."""


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`access.yaml`."""

    api_keys: str | None = None
    """File of API keys, made by `forebay keys`."""
    tokens: dict[str, Issuer] = {}
    """Issuers, by the name that their principals get."""
    limits: LimitSettings | None = None
    """None: there are none for each principal."""
    audit: AuditSettings | None = None
    """None: no audit log is written."""

    @property
    def asks(self) -> bool:
        """Tells whether anybody has to bring a credential."""
        return self.api_keys is not None or bool(self.tokens)


def read_access(path: Path) -> AccessSettings:
    """Reads the settings in a file; files that it names are found beside it.

    Raises:
        SettingsError: it can't be used; with the file and the field.
    """
    try:
        found = msgspec.convert(yaml.load(path.read_bytes(), UniqueKeys), AccessSettings)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"{path}: {reason}; it holds api_keys, or tokens, or both (docs/security.md)") from error
    if not found.asks:
        raise SettingsError(f"{path}: $.api_keys and $.tokens are both missing, so nobody could be let in: give one")
    for name, issuer in found.tokens.items():
        _check_issuer(name, issuer, f"{path}: $.tokens.{name}")
    if found.limits is not None:
        _check_limit(found.limits.default, f"{path}: $.limits.default")
        for name, limit in found.limits.principals.items():
            _check_limit(limit, f"{path}: $.limits.principals.{name}")
    audit = found.audit
    return msgspec.structs.replace(
        found,
        audit=audit and AuditSettings(str(path.parent / audit.file), str(path.parent / audit.key_file)),
        api_keys=found.api_keys and str(path.parent / found.api_keys),
        tokens={name: _beside(issuer, path.parent) for name, issuer in found.tokens.items()},
    )


def token_of_environment() -> str | None:
    """Reads `FOREBAY_API_TOKEN`. There is no option for it: others on the machine can read command lines."""
    return os.environ.get(TOKEN_VARIABLE, "").strip() or None


def is_address(jwks: str) -> bool:
    """Tells whether keys come over HTTP, and not from a file."""
    return "://" in jwks


def _beside(issuer: Issuer, folder: Path) -> Issuer:
    if is_address(issuer.jwks):
        return issuer
    return msgspec.structs.replace(issuer, jwks=str(folder / issuer.jwks))


def _check_issuer(name: str, issuer: Issuer, where: str) -> None:
    if not _ISSUER_NAME.fullmatch(name):
        raise SettingsError(f"{where}: name an issuer in small letters, digits, _ and -, and not `key` or `token`")
    for field in ("issuer", "audience", "jwks"):
        if not getattr(issuer, field):
            raise SettingsError(f"{where}.{field} is empty, so no token could be checked: fill it in")
    for at, algorithm in enumerate(issuer.algorithms):
        if algorithm not in ALGORITHMS:
            raise SettingsError(f"{where}.algorithms[{at}] is {algorithm!r}: allowed are {', '.join(ALGORITHMS)}")
    if not issuer.algorithms:
        raise SettingsError(f"{where}.algorithms is empty, so no token would be valid: name one, or leave it out")
    for field, least in (("leeway_s", 0), ("refresh_s", 1), ("refetch_s", 1)):
        if not least <= getattr(issuer, field) <= 86_400:
            raise SettingsError(f"{where}.{field} is {getattr(issuer, field):g}: give {least} to 86400 seconds")
    if is_address(issuer.jwks) and not _is_safe(issuer.jwks):
        raise SettingsError(
            f"{where}.jwks is {issuer.jwks!r}: give an https address, since whoever can change the keys on their way "
            f"can let anybody in"
        )


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def _check_limit(limit: Limit, where: str) -> None:
    for field in ("requests_per_s", "burst", "concurrent"):
        given = getattr(limit, field)
        if given is not None and not 0 < given < float("inf"):
            raise SettingsError(f"{where}.{field} is {given:g}: give more than 0, or leave it out for no limit")
    if limit.burst is not None and limit.requests_per_s is None:
        raise SettingsError(f"{where}.burst has no effect without requests_per_s: give both, or leave it out")
