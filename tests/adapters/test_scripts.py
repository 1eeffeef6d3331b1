"""The store's Lua scripts: each says what it takes and returns, and is sent by someone."""

import re
from pathlib import Path

import pytest

from forebay.pipelines.adapters.redis import scripts
from tests.support.payments import ROOT

FILES = sorted((ROOT / "pipelines/adapters/redis").glob("*.lua"))
LIBRARIES = {"row_fields", "erasure_fields"}
"""Functions that the loader puts before scripts."""


def header_and_code(file: Path) -> tuple[str, str]:
    lines = file.read_text().splitlines()
    header = [line for line in lines[: lines.index("")] if line.startswith("--")]
    return "\n".join(header), "\n".join(line for line in lines if not line.startswith("--"))


@pytest.mark.parametrize("file", [file for file in FILES if file.stem not in LIBRARIES], ids=lambda file: file.stem)
def test_a_script_lists_every_key_and_argument_that_it_uses_and_what_it_returns(file):
    header, code = header_and_code(file)
    numbered = set(re.findall(r"(?:KEYS|ARGV)\[\d+\]", code))
    assert numbered, "the pattern finds nothing"
    assert numbered <= set(re.findall(r"(?:KEYS|ARGV)\[\d+\]", header))
    assert "KEYS[1" in header
    assert "Returns" in header


def test_every_script_is_loaded_once_under_the_name_of_its_file():
    loaded = {name.lower(): text for name, text in vars(scripts).items() if name.isupper() and not name.startswith("_")}
    assert set(loaded) == {file.stem for file in FILES} - LIBRARIES
    for file in FILES:
        assert file.stem in LIBRARIES or loaded[file.stem].endswith(file.read_text())
