"""The wheel: what it installs, and what it leaves to the projects that it is installed into."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.payments import ROOT

SOURCES = ("LICENSE", "NOTICE", "README.md", "pyproject.toml", "forebay", "pipelines", "serving")
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built in a copy of the sources: building leaves files beside them."""
    sources = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, sources)
    built = tmp_path_factory.mktemp("wheel")
    command = (*PIP, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={built}", str(sources))
    subprocess.run(command, check=True, capture_output=True, text=True)
    return next(built.glob("forebay-*.whl"))


def test_it_installs_one_package_with_every_module_and_data_file(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"forebay"}
    kept = [
        file
        for folder in ("forebay", "pipelines", "serving")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in {".py", ".html", ".lua", ".yaml", ".typed"} and "__pycache__" not in file.parts
    ]
    paths = [file.relative_to(ROOT) for file in kept]
    expected = {str(path if path.parts[0] == "forebay" else Path("forebay") / path) for path in paths}
    assert expected == {name for name in names if "dist-info" not in name}


def test_a_project_with_packages_of_the_same_names_keeps_its_own(wheel, tmp_path):
    installed = tmp_path / "installed"
    subprocess.run((*PIP, "install", "--no-deps", f"--target={installed}", str(wheel)), check=True, capture_output=True)
    project = tmp_path / "project"
    for name in ("pipelines", "serving"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("OWNER = 'the project'\n")
    code = """
import json, pipelines, serving, forebay.cli, forebay.serving.scoring.scorer
print(json.dumps([pipelines.OWNER, serving.OWNER, forebay.__file__]))
"""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == ["the project", "the project", str(installed / "forebay" / "__init__.py")]
