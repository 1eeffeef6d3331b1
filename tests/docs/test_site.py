"""The documentation site: it is built, links lead somewhere, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from forebay.reference import decisions
from tests.support.payments import ROOT

ZENSICAL = Path(sys.executable).with_name("zensical")
LOADED = re.compile(r"""<(?:script|link|img|iframe)[^>]*?\s(?:src|href)=["']?(?:https?:)?//[^\s>"']+""")
"""What a browser fetches by itself: links that a reader may follow are no part of it."""


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [ZENSICAL, "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The site's sources in a folder of their own."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    return tmp_path


def pages(nav: Any) -> list[str]:
    """The files that a part of `nav` names."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in pages(each)]


def test_the_site_is_built_and_loads_nothing_from_elsewhere(copy: Path) -> None:
    built = build(copy)
    assert built.returncode == 0, built.stdout + built.stderr
    written = sorted((copy / "build" / "site").rglob("*.html"))
    assert len(written) > 20
    assert {page.name: found for page in written if (found := LOADED.findall(page.read_text()))} == {}


@pytest.mark.parametrize(
    ("target", "error"),
    [("nowhere.md", "page does not exist"), ("operations.md#nowhere", "anchor does not exist")],
)
def test_a_link_that_leads_nowhere_fails_the_build(copy: Path, target: str, error: str) -> None:
    index = copy / "docs" / "index.md"
    index.write_text(f"{index.read_text()}\n[there]({target})\n")
    built = build(copy)
    assert built.returncode != 0
    assert error in built.stderr


def test_every_page_is_in_the_navigation_once() -> None:
    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    found = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(listed) == sorted(name for name in found if not name.startswith("decisions/0"))


def test_the_list_of_decisions_is_not_stale() -> None:
    """`make reference` writes it again."""
    assert (ROOT / "docs" / "decisions" / "index.md").read_text() == decisions.page()
