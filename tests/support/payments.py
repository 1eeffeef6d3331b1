"""The payments repo as its author gets it compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPO = ROOT / "tests" / "repos" / "payments" / "feature_repo"


def run_compiler(repo: Path, out: Path, seed: int) -> subprocess.CompletedProcess[str]:
    """Compiles in a process of its own, with this seed of Python's hashes."""
    command = [sys.executable, "-m", "forebay.pipelines.compiler", "--repo", str(repo), "--out", str(out)]
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def apply_payments(folder: Path) -> Path:
    """A copy of the repo in the folder, applied."""
    repo = shutil.copytree(REPO, folder / "feature_repo", ignore=shutil.ignore_patterns("data", "__pycache__"))
    feast = Path(sys.executable).with_name("feast")
    subprocess.run([feast, "apply"], cwd=repo, check=True, capture_output=True, timeout=100)
    return repo
