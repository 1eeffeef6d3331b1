"""`forebay models`: which version scores, and whether one could."""

import json
import shutil

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import yaml
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from typer.testing import CliRunner

from forebay.cli import app
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.errors import ForebayError, ModelError
from forebay.serving.models.catalog import Catalog
from tests.serving.endpoint import PLAN, SERVICE, write_model

FEATURES = [f"{view.alias}__{name}" for view in SERVICE.views for name in view.features]


class Models:
    """Versions 1, 2 and 3 of model `risk`, and the command line."""

    def __init__(self, folder):
        self.plan, self.folder = folder / "plan", folder / "risk"
        write_plan(PLAN, self.plan)
        first = write_model(folder)
        for number in ("2", "3"):
            shutil.copytree(first, self.folder / number)

    def run(self, command, *more, plan=True):
        arguments = ["models", command, str(self.folder), *more, *([f"--plan={self.plan}"] if plan else [])]
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    def spoil(self, version):
        (self.folder / version / "model.yaml").write_text("service: no_such\nscores: {risk: {output: total}}\n")

    def states(self):
        listed = json.loads(self.run("list", "--json"))["versions"]
        return {
            each["version"]: "refused" if each["problem"] else "live" if each["live"] else "ready" for each in listed
        }


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path)


class TestChoice:
    def test_the_highest_version_that_can_be_used_scores(self, models):
        assert models.states() == {"3": "live", "2": "ready", "1": "ready"}
        models.spoil("3")
        assert models.states() == {"3": "refused", "2": "live", "1": "ready"}
        assert "no_such" in models.run("list")

    def test_rollback_goes_one_version_down_each_time(self, models):
        models.run("rollback")
        assert models.states() == {"3": "ready", "2": "live", "1": "ready"}
        models.run("rollback")
        assert models.states() == {"3": "ready", "2": "ready", "1": "live"}
        with pytest.raises(ModelError, match="no version below 1"):
            models.run("rollback")

    def test_rollback_goes_below_the_version_that_scores_not_below_a_refused_one(self, models):
        models.spoil("3")
        models.run("rollback")
        assert models.states()["1"] == "live"

    def test_rollback_undoes_a_promotion(self, models):
        models.run("promote", "1")
        assert models.states()["1"] == "live"
        models.run("rollback")
        assert models.states()["3"] == "live"
        models.run("rollback")
        assert models.states()["2"] == "live"

    def test_newest_lets_new_versions_score_again(self, models):
        models.run("promote", "1")
        models.run("promote", "newest")
        assert models.states()["3"] == "live"

    @pytest.mark.parametrize(("version", "message"), [("9", "has 3, 2, 1"), ("2", "no_such")])
    def test_what_can_not_score_is_not_promoted(self, models, version, message):
        models.spoil("2")
        with pytest.raises(ModelError, match=message):
            models.run("promote", version)
        assert models.states()["3"] == "live"

    def test_a_choice_is_made_of_versions_not_of_one(self, models):
        """`models/risk/2` is that version for good: `deployment.yaml` of `models/risk` says nothing of it."""
        models.run("promote", "3")
        assert [each.name for each in Catalog(models.folder / "2").candidates()] == ["2"]


class TestCheck:
    @pytest.fixture
    def trained(self, models):
        """Version 4, converted from LightGBM, and rows with its own predictions."""
        random = np.random.default_rng(3)
        rows = random.normal(size=(400, 4)).astype(np.float32).astype(np.float64)
        rows[:, 0] = np.round(3.0 * rows[:, 0])  # a count
        booster = lightgbm.train(
            {"objective": "binary", "num_leaves": 15, "verbosity": -1, "seed": 1, "num_threads": 1},
            lightgbm.Dataset(rows, (rows[:, 0] * rows[:, 1] > 0).astype(int)),
            num_boost_round=20,
        )
        version = models.folder / "4"
        version.mkdir()
        onnx.save(
            convert_lightgbm(
                booster, "risk", [("features", FloatTensorType([None, 4]))], zipmap=False, target_opset=15
            ),
            version / "model.onnx",
        )
        card = {"service": "card_risk", "scores": {"risk": {"output": "probabilities", "column": 1}}}
        (version / "model.yaml").write_text(yaml.safe_dump(card))
        return pd.DataFrame(rows, columns=FEATURES).assign(risk=booster.predict(rows, num_threads=1))

    def write(self, models, rows):
        path = models.folder.parent / "rows.parquet"
        rows.to_parquet(path)
        return f"--rows={path}"

    def test_a_conversion_that_keeps_the_scores_passes(self, models, trained):
        checked = json.loads(models.run("check", self.write(models, trained), "--json"))
        (shift,) = checked["shifts"]
        assert (shift["rows"], shift["beyond"]) == (400, 0)
        assert 0 <= shift["largest"] < 1e-5

    def test_a_conversion_that_changes_scores_is_an_error_that_says_by_how_much(self, models, trained):
        path = models.folder / "4" / "model.onnx"
        model = onnx.load(path)
        (node,) = [each for each in model.graph.node if each.op_type == "TreeEnsembleClassifier"]
        (weights,) = [each for each in node.attribute if each.name == "class_weights"]
        weights.floats[:] = [2.0 * each for each in weights.floats]
        onnx.save(model, path)
        with pytest.raises(
            ModelError, match=r"score 'risk' is off by up to 0\.\d+, by more than 1e-05 in \d+ of 400 rows"
        ):
            models.run("check", self.write(models, trained))

    @pytest.mark.parametrize(
        "option", [{"sigmoid": 2.0}, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}]
    )
    def test_options_that_the_converter_drops_are_noticed(self, models, trained, option):
        """The conversion itself says nothing of it."""
        rows = trained[FEATURES].to_numpy()
        data = lightgbm.Dataset(rows, (rows[:, 0] > 0).astype(int))
        booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1, **option}, data, 20)
        model = convert_lightgbm(
            booster, "m", [("features", FloatTensorType([None, 4]))], zipmap=False, target_opset=15
        )
        onnx.save(model, models.folder / "4" / "model.onnx")
        expected = trained.assign(risk=booster.predict(rows, num_threads=1))
        with pytest.raises(ModelError, match="the conversion to ONNX changed the model"):
            models.run("check", self.write(models, expected))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda rows: rows.drop(columns=FEATURES[1]), f"no column, or several, of these names: {FEATURES[1]}"),
            (lambda rows: rows.drop(columns="risk"), "no column of a score to compare with: add one named risk"),
            (lambda rows: rows.head(0), "has 0 rows"),
        ],
    )
    def test_rows_that_say_nothing_are_refused(self, models, trained, change, message):
        with pytest.raises(ForebayError, match=message):
            models.run("check", self.write(models, change(trained)))

    def test_a_version_without_rows_is_checked_as_a_worker_does(self, models):
        assert "version 3 fits service card_risk" in models.run("check")
        models.spoil("3")
        with pytest.raises(ModelError, match="no_such"):
            models.run("check")
