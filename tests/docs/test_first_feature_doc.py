"""docs/first-feature.md works as it is printed: files, commands and test."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.docs.page import example

BIN = Path(sys.executable).parent


def test_the_first_feature_is_declared_checked_and_tested(tmp_path: Path) -> None:
    repo = tmp_path / "feature_repo"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(example("first-feature.md", "store"))
    (repo / "payments.py").write_text(example("first-feature.md", "definitions"))
    (tmp_path / "test.py").write_text(example("first-feature.md", "test"))
    for command in [*example("first-feature.md", "check").splitlines(), f"{sys.executable} test.py"]:
        program, *arguments = shlex.split(command)
        environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            [program, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
