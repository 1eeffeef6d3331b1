"""docs/install.md explains every extra, and no other."""

from __future__ import annotations

import tomllib

from tests.docs.page import table
from tests.support.payments import ROOT


def test_every_extra_is_explained() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    shown = [row["extra"].strip("`") for row in table("install.md", "extras")]
    assert sorted(shown) == sorted(["none", *extras])
