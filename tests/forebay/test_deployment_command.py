"""`forebay deployment`: a table is checked before it is written, and shares keep their entities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from forebay.cli import app
from forebay.models.shares import placed
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.errors import ForebayError, ModelError, SettingsError
from forebay.serving.models.table import Share
from tests.serving.deployed import write_version
from tests.serving.endpoint import PLAN


class Deployed:
    """Versions of two models, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.plan, self.folder, self.models = folder / "plan", folder / "models" / "risk", folder / "models"
        write_plan(PLAN, self.plan)
        for reference in ("risk/1", "risk/2", "other/1"):
            write_version(self.models, reference, 0.0)

    def run(self, *arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    def set(self, *options: str) -> None:
        self.run("deployment", "set", str(self.folder), f"--plan={self.plan}", *options)

    def rollback(self) -> None:
        self.run("models", "rollback", str(self.folder), f"--plan={self.plan}")

    def shown(self) -> tuple[int, dict[str, Any]]:
        found = json.loads(self.run("deployment", "show", str(self.folder), "--json"))
        return found["generation"], {each["model"]: each["range"] or each["role"] for each in found["models"]}


@pytest.fixture
def deployed(tmp_path: Path) -> Deployed:
    return Deployed(tmp_path)


def test_each_set_is_a_table_of_its_own_and_rollback_returns_to_the_one_before(deployed: Deployed) -> None:
    assert deployed.shown() == (0, {"risk/2": "live"})
    deployed.set("--live=1", "--share=2=5", "--shadow=other/1")
    whole = {"risk/1": "live", "risk/2": [0.0, 5.0], "other/1": "shadow"}
    assert deployed.shown() == (1, whole)
    deployed.set("--share=2=10")
    assert deployed.shown() == (2, {"risk/1": "live", "risk/2": [0.0, 10.0]})
    deployed.rollback()
    assert deployed.shown() == (3, whole)
    assert "5 %, from 0 to 5" in deployed.run("deployment", "show", str(deployed.folder))


def test_promotion_is_a_table_too_and_can_be_taken_back(deployed: Deployed) -> None:
    deployed.set("--live=1", "--share=2=5")
    deployed.run("models", "promote", str(deployed.folder), "2", f"--plan={deployed.plan}")
    assert deployed.shown() == (2, {"risk/2": "live"})
    deployed.rollback()
    assert deployed.shown() == (3, {"risk/1": "live", "risk/2": [0.0, 5.0]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--live=7"], r"the table: \$.live is 'risk/7', which model risk does not have: it has 3, 2, 1"),
        (["--live=1", "--shadow=1"], r"the table: \$.shadows\[0\] is 'risk/1', as the table: \$.live is"),
        (["--share=2"], "--share '2': give VERSION=PERCENT"),
        (["--live=1", "--share=3=5"], "3 of model.yaml|no_such"),
        (["--live=1", "--share=2=0"], "goes from 0 to 0 %, which is nothing"),
    ],
    ids=range(5),
)
def test_what_can_not_score_is_not_written(deployed: Deployed, options: list[str], message: str) -> None:
    write_version(deployed.models, "risk/3", 0.0, service="no_such")
    with pytest.raises(ForebayError, match=message):
        deployed.set(*options)
    assert not (deployed.folder / "deployment.yaml").exists()


def test_a_table_is_checked_before_it_is_put_in_its_place(deployed: Deployed, tmp_path: Path) -> None:
    file = tmp_path / "next.yaml"
    file.write_text("generation: 1\nlive: risk/1\nshares: [{model: risk/2, from: 0, to: 50}]\n")

    def check() -> str:
        return deployed.run(
            "deployment", "check", str(file), f"--plan={deployed.plan}", f"--deployment={deployed.folder}"
        )

    assert "generation 1, 2 versions can score together" in check()
    deployed.set("--live=1")
    with pytest.raises(ModelError, match=r"next.yaml: \$.generation is 1, and .* has 1: give it a higher one"):
        check()
    file.write_text("generation: 2\nlive: risk/1\nshadow: [risk/2]\n")
    with pytest.raises(ModelError, match="did you mean `shadows`"):
        check()
    file.unlink()
    with pytest.raises(SettingsError, match="does not exist"):
        check()


class TestShares:
    def test_the_first_begins_at_nought_and_the_next_where_both_have_room(self) -> None:
        first = placed([], {"m/2": 5})
        assert first == (Share("m/2", 0, 5),)
        both = placed(first, {"m/2": 5, "m/3": 10})
        assert both == (Share("m/2", 0, 5), Share("m/3", 52.5, 62.5))

    def test_a_share_grows_and_shrinks_where_it_is(self) -> None:
        present = (Share("m/2", 0, 5), Share("m/3", 52.5, 62.5))
        assert placed(present, {"m/3": 40, "m/2": 1}) == (Share("m/2", 0, 1), Share("m/3", 52.5, 92.5))
        assert placed(present, {"m/3": 40}) == (Share("m/3", 52.5, 92.5),)

    def test_half_and_half_leave_no_gap(self) -> None:
        assert placed([], {"m/2": 50, "m/3": 50}) == (Share("m/2", 0, 50), Share("m/3", 50, 100))

    @pytest.mark.parametrize(
        ("percents", "message"),
        [
            ({"m/2": 60, "m/3": 10}, "share of m/2 has room up to 52.5 %, where that of m/3 begins"),
            ({"m/3": 60}, "share of m/3 has room up to 47.5 %"),
            ({"m/2": 50, "m/3": 40, "m/4": 9}, "share of m/4 finds no room for 9 %: the widest gap has 7.5 %"),
        ],
        ids=range(3),
    )
    def test_no_share_moves_the_entities_of_another(self, percents: dict[str, float], message: str) -> None:
        with pytest.raises(ModelError, match=message):
            placed((Share("m/2", 0, 5), Share("m/3", 52.5, 62.5)), percents)
