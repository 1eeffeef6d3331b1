"""Load the Lua scripts: what the store does in one step. Each file says what it takes and returns."""

from __future__ import annotations

from importlib.resources import files


def _text(name: str) -> str:
    return files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


_ROW_FIELDS = _text("row_fields")
_ERASURE_FIELDS = _text("erasure_fields")

COMPARE_AND_SET = _ROW_FIELDS + _text("compare_and_set")
COMPARE_AND_REMOVE = _ROW_FIELDS + _text("compare_and_remove")
FORGET = _ERASURE_FIELDS + _text("forget")
RAISE_IN_HASH = _text("raise_in_hash")
REMEMBER_ERASURE = _ERASURE_FIELDS + _text("remember_erasure")
REMOVE_UNLESS_LEASED = _text("remove_unless_leased")
REPLACE_IN_HASH = _text("replace_in_hash")
