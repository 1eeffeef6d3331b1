"""The file of API keys: hashes of keys, whose they are, and what they may do."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from pathlib import Path

import msgspec

from forebay.pipelines.contract.replace_file import replace_file
from forebay.pipelines.errors import SettingsError
from forebay.serving.access.principal import Action, unknown_scopes

PREFIX = "fbk_"
"""What every key begins with, so that scanners for leaked secrets find it."""

KEYS_PER_NAME = 2
"""The old one and the new one, while clients change over."""

_SECRET_BYTES = 32


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key, without its secret."""

    id: str
    """The part of the key between `fbk_` and the next underscore; no secret."""
    name: str
    """Whose it is: the principal is `key:NAME`."""
    sha256: str
    """Of the whole key. Its 256 random bits can't be guessed, so a slow hash would protect nothing more."""
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime | None = None
    """From then on it is not valid; None: never."""

    def is_for(self, credential: str) -> bool:
        """Tells whether it is the hash of this credential, compared in constant time."""
        return hmac.compare_digest(self.sha256, _sha256(credential))


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All keys of an endpoint."""

    keys: tuple[ApiKey, ...] = ()


def read_keys(path: Path) -> KeyFile:
    """Reads the keys in a file.

    Raises:
        SettingsError: it can't be read, or two keys have one id.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=KeyFile)
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist: make it with `forebay keys add NAME --file {path}`") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}; it is written by `forebay keys`, not by hand") from error
    for at, key in enumerate(found.keys):
        if any(key.id == other.id for other in found.keys[:at]):
            raise SettingsError(f"{path}: $.keys[{at}].id {key.id!r} stands twice: remove one of them")
        if key.expires is not None and key.expires.tzinfo is None:
            raise SettingsError(f"{path}: $.keys[{at}].expires has no time zone: write it as 2027-01-31T00:00:00Z")
        _check_scopes(key.scopes, f"{path}: $.keys[{at}].scopes")
    return found


def add_key(path: Path, name: str, scopes: tuple[str, ...], now: datetime, expires: datetime | None = None) -> str:
    """Makes a key, and keeps its hash. Returns the key, which is nowhere else.

    Raises:
        SettingsError: the name has as many keys as it may, a scope is unknown, or the file can't be used.
    """
    _check_scopes(scopes, "--scope")
    if not name or not name.isprintable():
        raise SettingsError(f"NAME is {name!r}: give one that can be read in logs")
    before = read_keys(path).keys if path.exists() else ()
    of_name = [each for each in before if each.name == name and not (each.expires and each.expires <= now)]
    if len(of_name) >= KEYS_PER_NAME:
        ids = " or ".join(each.id for each in of_name)
        raise SettingsError(
            f"{path}: {name!r} has {KEYS_PER_NAME} keys: remove {ids} first, with `forebay keys remove`"
        )
    identifier = secrets.token_hex(6)
    credential = f"{PREFIX}{identifier}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    _write(path, (*before, ApiKey(identifier, name, _sha256(credential), scopes, now, expires)))
    return credential


def remove_key(path: Path, identifier: str) -> ApiKey:
    """Removes a key and returns it.

    Raises:
        SettingsError: there is none of this id, or the file can't be used.
    """
    before = read_keys(path).keys
    found = next((each for each in before if each.id == identifier), None)
    if found is None:
        known = ", ".join(each.id for each in before) or "none"
        raise SettingsError(f"{path} has no key {identifier!r}: it has {known}")
    _write(path, tuple(each for each in before if each is not found))
    return found


def id_of(credential: str) -> str:
    """Returns the id in a key; empty where it has none."""
    return credential.removeprefix(PREFIX).partition("_")[0]


def _write(path: Path, keys: tuple[ApiKey, ...]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(msgspec.json.encode(KeyFile(keys))) + b"\n")
    except OSError as error:
        raise SettingsError(f"{path} can't be written: {error}") from error


def _check_scopes(scopes: tuple[str, ...], where: str) -> None:
    unknown = unknown_scopes(scopes)
    if unknown or not scopes:
        found = f"{unknown[0]!r} is unknown" if unknown else "none is given"
        raise SettingsError(f"{where}: {found}: scopes are {', '.join(Action)}, and predict:MODEL for one model")


def _sha256(credential: str) -> str:
    return hashlib.sha256(credential.encode()).hexdigest()
