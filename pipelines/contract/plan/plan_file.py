"""The plan file: magic, format number, BLAKE2b hash, and the plan in MessagePack.

The hash is checked before anything is decoded, so that no function from a damaged file is ever
loaded. It finds damage; against forgery stand the file's owner and mode.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import msgspec

from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.replace_file import replace_file
from forebay.pipelines.errors import PlanError

_MAGIC = b"forebay plan\r\n\x1a\n"
_HASH_BYTES = 32
_HEADER = struct.Struct(f"<{len(_MAGIC)}sI{_HASH_BYTES}s")
_REPAIR = "run forebay plan"


def write_plan(plan: Plan, path: Path) -> None:
    """Writes the plan, readable by its owner only; readers see the old file or the new one, never a part.

    Raises:
        PlanError: the file can't be written there.
    """
    payload = msgspec.msgpack.encode(plan)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _HEADER.pack(_MAGIC, PLAN_FORMAT, _hash(payload)) + payload)
    except OSError as error:
        raise PlanError(f"{path}: can't be written: {error.strerror}; choose another place") from error


def read_plan(path: Path) -> Plan:
    """Returns the plan in a file.

    Raises:
        PlanError: no file, no plan file, one of another version, or a damaged one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PlanError(f"{path}: no plan can be read: {error.strerror}; {_REPAIR}") from error
    if not content.startswith(_MAGIC):
        raise PlanError(f"{path}: not a plan file; {_REPAIR}")
    if len(content) < _HEADER.size:
        raise PlanError(f"{path}: the plan file is cut short; {_REPAIR}")
    _, version, digest = _HEADER.unpack_from(content)
    if version != PLAN_FORMAT:
        raise PlanError(f"{path}: plan format {version}, this version reads {PLAN_FORMAT}; {_REPAIR}")
    payload = content[_HEADER.size :]
    if _hash(payload) != digest:
        raise PlanError(f"{path}: the plan file is damaged (its hash does not fit); {_REPAIR}")
    try:
        return msgspec.msgpack.decode(payload, type=Plan)
    except msgspec.DecodeError as error:
        raise PlanError(f"{path}: the plan file can't be decoded: {error}; {_REPAIR}") from error


def next_generation(path: Path, now_ms: int) -> int:
    """Returns the generation of a plan that is written to this file now: later than the one there, and than those of
    before.

    Args:
        now_ms: the wall clock. It orders plans that are made on different machines, or where no former file is.
    """
    try:
        return max(now_ms, read_plan(path).generation + 1)
    except PlanError:
        return now_ms


def _hash(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_HASH_BYTES).digest()
