"""Kinds of models, each exported as its library does, and scored as the library itself predicts."""

import catboost
import lightgbm
import numpy as np
import onnx
import pytest
import xgboost
import yaml
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.errors import ModelError
from forebay.serving.models.invariance import is_batch_invariant
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from tests.serving.endpoint import PLAN, SERVICE

FEATURES = [f"{view.alias}__{name}" for view in SERVICE.views for name in view.features]
RANDOM = np.random.default_rng(11)
FULL = RANDOM.normal(size=(300, 4)).astype(np.float32)
GAPS = np.where(RANDOM.random(FULL.shape) < 0.1, np.float32(np.nan), FULL)
YES = (FULL[:, 0] + 0.1 * RANDOM.normal(size=300) > 0.3).astype(np.int64)
THREE = RANDOM.integers(0, 3, 300)
AMOUNT = FULL[:, 0] * 3 + 10
TYPES = [("features", FloatTensorType([None, 4]))]
OPSET = {"": 15, "ai.onnx.ml": 3}


def forebay(folder, model, scores, rows):
    """Scores by name, of rows that reach the model as they are."""
    version = folder / "risk" / "1"
    version.mkdir(parents=True, exist_ok=True)
    if isinstance(model, bytes):
        (version / "model.onnx").write_bytes(model)
    elif model is not None:
        (version / "model.onnx").write_bytes(model.SerializeToString())
    (version / "model.yaml").write_text(yaml.safe_dump({"service": "card_risk", "scores": scores}))
    scorer = RequestScorer.of(PLAN, [load_model(version)], MemoryStore())
    columns = dict(zip(FEATURES, rows.astype(np.float64).T, strict=True))
    return {name: np.array(values) for name, values in scorer.model.run(columns).scores.items()}


def probabilities(*columns):
    return {f"p{column}": {"output": "probabilities", "column": column} for column in columns}


def assert_near(found, expected):
    """Libraries add up their trees in float32 in an order of their own."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


class TestTrees:
    """With missing values, which the libraries send down a branch that they have learnt."""

    def test_lightgbm(self, tmp_path):
        data = lightgbm.Dataset(GAPS, YES)
        booster = lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 20)
        model = convert_lightgbm(booster, "m", TYPES, zipmap=False, target_opset=15)
        found = forebay(tmp_path, model, probabilities(1), GAPS)["p1"]
        assert_near(found, booster.predict(GAPS, num_threads=1))

    def test_lightgbm_of_three_classes(self, tmp_path):
        parameters = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}
        booster = lightgbm.train(parameters, lightgbm.Dataset(GAPS, THREE), 10)
        model = convert_lightgbm(booster, "m", TYPES, zipmap=False, target_opset=15)
        found = forebay(tmp_path, model, probabilities(0, 1, 2), GAPS)
        assert_near(np.stack(list(found.values()), 1), booster.predict(GAPS, num_threads=1))

    def test_xgboost(self, tmp_path):
        """Its base score is learnt from the labels, which are not half and half."""
        trained = xgboost.XGBClassifier(n_estimators=20, max_depth=3, n_jobs=1).fit(GAPS, YES)
        model = convert_xgboost(trained, initial_types=TYPES, target_opset=15)
        found = forebay(tmp_path, model, probabilities(0, 1), GAPS)
        assert_near(np.stack(list(found.values()), 1), trained.predict_proba(GAPS))

    def test_an_xgboost_regressor(self, tmp_path):
        trained = xgboost.XGBRegressor(n_estimators=20, max_depth=3, n_jobs=1).fit(GAPS, AMOUNT)
        model = convert_xgboost(trained, initial_types=TYPES, target_opset=15)
        found = forebay(tmp_path, model, {"amount": {"output": "variable"}}, GAPS)["amount"]
        np.testing.assert_allclose(found, trained.predict(GAPS), rtol=1e-6)

    def test_catboost_whose_own_export_is_a_map_per_row(self, tmp_path):
        trained = catboost.CatBoostClassifier(20, depth=3, verbose=0, allow_writing_files=False, thread_count=1)
        trained.fit(GAPS, YES)
        trained.save_model(str(tmp_path / "exported"), format="onnx")
        exported = (tmp_path / "exported").read_bytes()
        found = forebay(tmp_path, exported, {"p": {"output": "probabilities", "label": 1}}, GAPS)["p"]
        assert_near(found, trained.predict_proba(GAPS)[:, 1])

    def test_a_catboost_regressor(self, tmp_path):
        trained = catboost.CatBoostRegressor(20, depth=3, verbose=0, allow_writing_files=False, thread_count=1)
        trained.fit(GAPS, AMOUNT)
        trained.save_model(str(tmp_path / "exported"), format="onnx")
        exported = (tmp_path / "exported").read_bytes()
        found = forebay(tmp_path, exported, {"amount": {"output": "predictions"}}, GAPS)["amount"]
        np.testing.assert_allclose(found, trained.predict(GAPS), rtol=1e-6)

    @pytest.mark.parametrize(
        ("estimator", "labels"),
        [(RandomForestClassifier(20, random_state=1), YES), (RandomForestClassifier(20, random_state=1), THREE)],
    )
    def test_a_random_forest_without_missing_values(self, tmp_path, estimator, labels):
        """With them its conversion is wrong without an error: `forebay models check --rows` says so."""
        trained = estimator.fit(FULL, labels)
        model = to_onnx(trained, FULL[:1], options={"zipmap": False}, target_opset=OPSET)
        found = forebay(tmp_path, model, probabilities(*trained.classes_.tolist()), FULL)
        assert_near(np.stack(list(found.values()), 1), trained.predict_proba(FULL))

    def test_gradient_boosting(self, tmp_path):
        trained = GradientBoostingRegressor(n_estimators=20, random_state=1).fit(FULL, AMOUNT)
        model = to_onnx(trained, FULL[:1], target_opset=OPSET)
        found = forebay(tmp_path, model, {"amount": {"output": "variable"}}, FULL)["amount"]
        np.testing.assert_allclose(found, trained.predict(FULL), rtol=1e-5)


class TestOtherModels:
    def test_a_pipeline(self, tmp_path):
        trained = make_pipeline(StandardScaler(), LogisticRegression()).fit(FULL, YES)
        model = to_onnx(trained, FULL[:1], options={"zipmap": False}, target_opset=OPSET)
        assert_near(forebay(tmp_path, model, probabilities(1), FULL)["p1"], trained.predict_proba(FULL)[:, 1])

    @pytest.mark.parametrize(("labels", "label"), [(YES, 1), (np.where(YES, "fraud", "fair"), "fraud")])
    def test_a_default_export_of_a_classifier_just_works(self, tmp_path, labels, label):
        trained = LogisticRegression().fit(FULL, labels)
        model = to_onnx(trained, FULL[:1], target_opset=OPSET)
        found = forebay(tmp_path, model, {"p": {"output": "output_probability", "label": label}}, FULL)["p"]
        assert_near(found, trained.predict_proba(FULL)[:, trained.classes_.tolist().index(label)])

    def test_a_neural_net(self, tmp_path):
        trained = MLPClassifier((8,), max_iter=1000, random_state=1, tol=1e-3).fit(FULL, YES)
        model = to_onnx(trained, FULL[:1], options={"zipmap": False}, target_opset=OPSET)
        assert_near(forebay(tmp_path, model, probabilities(1), FULL)["p1"], trained.predict_proba(FULL)[:, 1])

    def test_several_outputs(self, tmp_path):
        trained = MultiOutputRegressor(LinearRegression()).fit(FULL, np.stack([AMOUNT, FULL[:, 1]], 1))
        model = to_onnx(trained, FULL[:1], target_opset=OPSET)
        scores = {name: {"output": "variable", "column": at} for at, name in enumerate(("amount", "other"))}
        found = forebay(tmp_path, model, scores, FULL)
        np.testing.assert_allclose(np.stack(list(found.values()), 1), trained.predict(FULL), rtol=1e-5, atol=1e-5)


class TestMaps:
    """Outputs of a map per row."""

    @pytest.mark.parametrize(
        ("score", "message"),
        [
            ({"column": 1}, "the card gives none: add the class .* as `label`, a number, as in `label: 1`"),
            ({"label": "1"}, "the card gives '1'.*a number"),
            ({"label": 7}, "has no class 7, only 0, 1: correct `label`"),
            ({"label": 1, "column": 1}, "has a column and a label"),
        ],
    )
    def test_a_class_that_is_not_there_is_an_error_with_the_repair(self, tmp_path, score, message):
        model = to_onnx(LogisticRegression().fit(FULL, YES), FULL[:1], target_opset=OPSET)
        with pytest.raises(ModelError, match=message):
            forebay(tmp_path, model, {"p": {"output": "output_probability"} | score}, FULL)

    def test_a_label_of_an_output_that_is_no_map_is_an_error(self, tmp_path):
        model = to_onnx(LogisticRegression().fit(FULL, YES), FULL[:1], options={"zipmap": False}, target_opset=OPSET)
        with pytest.raises(ModelError, match="no map: give a `column`"):
            forebay(tmp_path, model, {"p": {"output": "probabilities", "label": 1}}, FULL)


class TestExternalData:
    """Weights in a file beside the model, as PyTorch's exporter writes them."""

    def write(self, folder, weight):
        version = folder / "risk" / "1"
        version.mkdir(parents=True, exist_ok=True)
        features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 4])
        total = helper.make_tensor_value_info("total", TensorProto.FLOAT, [None, 1])
        weights = numpy_helper.from_array(np.full((4, 1), weight, np.float32), "weights")
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["features", "weights"], ["total"])], "m", [features], [total], [weights]
        )
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
            version / "model.onnx",
            save_as_external_data=True,
            location="model.onnx.data",
            size_threshold=0,
        )
        assert (version / "model.onnx.data").exists()
        return version

    def test_it_is_loaded_with_the_model(self, tmp_path):
        self.write(tmp_path, 2.0)
        found = forebay(tmp_path, None, {"total": {"output": "total"}}, FULL)["total"]
        np.testing.assert_allclose(found, 2.0 * FULL.sum(axis=1, dtype=np.float64), rtol=1e-4, atol=1e-5)

    def test_it_counts_in_the_models_hash(self, tmp_path):
        hashes = set()
        for weight in (2.0, 3.0):
            version = self.write(tmp_path, weight)
            (version / "model.yaml").write_text("service: card_risk\nscores: {total: {output: total}}\n")
            hashes.add(load_model(version).hash)
            (version / "model.onnx.data").unlink()
        assert len(hashes) == 2

    def test_a_file_that_is_missing_is_an_error(self, tmp_path):
        version = self.write(tmp_path, 2.0)
        (version / "model.onnx.data").unlink()
        with pytest.raises(ModelError, match=r"model\.onnx\.data"):
            forebay(tmp_path, None, {"total": {"output": "total"}}, FULL)


class TestBatchInvariance:
    """Whether a row has the same bits alone and in company."""

    def found(self, folder, model, scores):
        forebay(folder, model, scores, FULL)
        loaded = load_model(folder / "risk")
        scorer = RequestScorer.of(PLAN, [loaded], MemoryStore())
        return is_batch_invariant(loaded, scorer.assembler.features)

    def test_trees_are(self, tmp_path):
        booster = lightgbm.train({"objective": "binary", "verbosity": -1}, lightgbm.Dataset(FULL, YES), 20)
        model = convert_lightgbm(booster, "m", TYPES, zipmap=False, target_opset=15)
        assert self.found(tmp_path, model, probabilities(1)) is True

    def test_a_model_that_looks_at_other_rows_is_not(self, tmp_path):
        """Here a row's score is its first feature less the batch's mean."""
        features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 4])
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, 4])
        nodes = [
            helper.make_node("ReduceMean", ["features"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["features", "mean"], ["out"]),
        ]
        graph = helper.make_graph(nodes, "m", [features], [out])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        assert self.found(tmp_path, model, {"p": {"output": "out", "column": 0}}) is False
