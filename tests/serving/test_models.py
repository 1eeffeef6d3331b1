"""Models and their cards: what does not fit is refused at load, with the place and the repair."""

import lightgbm
import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.errors import ModelError
from forebay.serving.features.request import ScoringRequest
from forebay.serving.models.card import load_card
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from tests.serving.endpoint import NOW_MS, PLAN, SERVICE, fill, write_model

FEATURES = [f"{view.alias}__{name}" for view in SERVICE.views for name in view.features]
ROWS = np.random.default_rng(7).normal(size=(200, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0.5).astype(np.int64)
CLASSIFIER = LogisticRegression().fit(ROWS, LABELS)
CARD_OF_P = "service: card_risk\nscores: {risk: {output: p}}\n"
CARD = {"service": "card_risk", "scores": {"risk": {"output": "probabilities", "column": 1}}}


def scorer(folder, model, card=CARD):
    """Of an ONNX model and a card."""
    version = folder / "risk" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(model.SerializeToString())
    (version / "model.yaml").write_text(card if isinstance(card, str) else yaml.safe_dump(card))
    store = MemoryStore()
    fill(store)
    return RequestScorer.of(PLAN, [load_model(version)], store)


def classifier(zipmap=False, labels=LABELS):
    trained = LogisticRegression().fit(ROWS, labels)
    return to_onnx(trained, ROWS[:1], options={"zipmap": zipmap}, target_opset={"": 15, "ai.onnx.ml": 3})


def node_model(operator, inputs, output, **attributes):
    """A model of one node, with one input of these descriptions, that returns `out`."""
    node = helper.make_node(operator, [each.name for each in inputs], ["out"], **attributes)
    graph = helper.make_graph([node], "graph", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def tensor(name, kind=TensorProto.FLOAT, shape=(None, 4)):
    return helper.make_tensor_value_info(name, kind, list(shape))


def card(**scores):
    return {"service": "card_risk", "scores": scores}


class TestOutputs:
    def test_the_named_column_of_the_probabilities_is_the_score(self, tmp_path):
        found = scorer(tmp_path, classifier()).model.run({name: ROWS[:, at] for at, name in enumerate(FEATURES)})
        np.testing.assert_allclose(found.scores["risk"], CLASSIFIER.predict_proba(ROWS)[:, 1], atol=1e-6)

    def test_a_map_per_row_without_a_class_is_refused(self, tmp_path):
        with pytest.raises(
            ModelError, match=r"\$\.scores\.risk of model\.yaml: .* a map of class to probability per row.*zipmap=False"
        ):
            scorer(tmp_path, classifier(zipmap=True), card(risk={"output": "output_probability"}))

    def test_a_map_per_row_of_a_converted_lightgbm_model_without_a_class_is_refused(self, tmp_path):
        booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(ROWS, LABELS), 2)
        model = convert_lightgbm(booster, initial_types=[("features", FloatTensorType([None, 4]))], target_opset=15)
        with pytest.raises(
            ModelError,
            match=r"'probabilities' .*a map of class to probability per row.*export the model with zipmap=False",
        ):
            scorer(tmp_path, model)

    def test_labels_that_are_texts_are_refused(self, tmp_path):
        labels = np.where(LABELS, "late", "punctual")
        with pytest.raises(ModelError, match=r"'label' is tensor\(string\), .*of numbers: probabilities"):
            scorer(tmp_path, classifier(labels=labels), card(risk={"output": "label"}))

    def test_an_output_of_two_columns_needs_the_column(self, tmp_path):
        with pytest.raises(ModelError, match=r"has 2 columns, .* add `column`, from 0 to 1 .*1 is the positive class"):
            scorer(tmp_path, classifier(), card(risk={"output": "probabilities"}))

    @pytest.mark.parametrize("shape", [(None, 4), (None, None)])
    def test_a_column_that_is_not_there_is_refused_whether_the_width_is_declared_or_not(self, tmp_path, shape):
        inputs = [tensor("features", shape=shape)]
        model = node_model("Identity", inputs, tensor("out", shape=shape))
        with pytest.raises(ModelError, match=r"`column: 5`, but output 'out' has 4: give one from 0 to 3"):
            scorer(tmp_path, model, card(risk={"output": "out", "column": 5})).warm_up()

    @pytest.mark.parametrize(
        ("operator", "axes", "shape", "more"),
        [("ReduceSum", [0, 1], (), {"keepdims": 0}), ("Unsqueeze", [1], (None, None, None), {})],
    )
    def test_an_output_that_is_no_table_is_refused_at_load(self, tmp_path, operator, axes, shape, more):
        """At the latest when the model is tried: a scalar declares no dimensions, and neither does what is unknown."""
        constant = helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)
        node = helper.make_node(operator, ["features", "axes"], ["out"], **more)
        graph = helper.make_graph([node], "graph", [tensor("features")], [tensor("out", shape=shape)], [constant])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        with pytest.raises(ModelError, match=r"output 'out' has the shape .* a score is read from \(rows,\)"):
            scorer(tmp_path, model, card(risk={"output": "out"})).warm_up()

    def test_an_output_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(ModelError, match="read from output 'odds', but the model has label, probabilities"):
            scorer(tmp_path, classifier(), card(risk={"output": "odds"}))


class TestInputs:
    def integers(self, folder, kind=TensorProto.INT64):
        model = node_model("Cast", [tensor("features", kind)], tensor("out"), to=TensorProto.FLOAT)
        return scorer(folder, model, card(risk={"output": "out", "column": 3}))

    @pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL])
    def test_a_null_that_a_matrix_can_not_hold_is_refused_and_its_neighbours_are_scored(self, tmp_path, kind):
        columns = dict.fromkeys(FEATURES, np.array([1.0, 1.0]))
        columns["limits__share"] = np.array([np.nan, 1.0])
        found = self.integers(tmp_path, kind).model.run(columns)
        assert found.scores["risk"][1] == 1.0
        assert list(found.refusals) == [0]
        assert str(found.refusals[0]).startswith(
            "$.limits__share: model risk version 1: is null, which input 'features'"
        )
        assert "give the feature a default, or export the model with a float input" in str(found.refusals[0])

    @pytest.mark.parametrize(
        ("kind", "value", "repair"),
        [
            (TensorProto.INT64, 0.5, "float"),
            (TensorProto.INT64, 2.0**63, "float"),
            (TensorProto.INT32, 2.0**31, "float"),
            (TensorProto.BOOL, 2.0, "float"),
            (TensorProto.FLOAT, 1e39, "double"),
        ],
    )
    def test_a_value_that_would_reach_the_model_as_another_is_refused(self, tmp_path, kind, value, repair):
        found = self.integers(tmp_path, kind).model.run(dict.fromkeys(FEATURES, np.array([value])))
        assert list(found.refusals) == [0]
        assert str(found.refusals[0]).endswith(f"can't hold: export the model with a {repair} input")

    @pytest.mark.parametrize(("kind", "value"), [(TensorProto.INT64, -(2.0**63)), (TensorProto.INT32, 2.0**31 - 1)])
    def test_the_extremes_of_a_type_are_held(self, tmp_path, kind, value):
        found = self.integers(tmp_path, kind).model.run(dict.fromkeys(FEATURES, np.array([value])))
        assert (found.scores["risk"], found.refusals) == ([np.float32(value)], {})

    def test_a_scorer_refuses_the_request_alone(self, tmp_path):
        """The share of a limit is rarely whole."""
        found = self.integers(tmp_path).score(
            [ScoringRequest({"card": "a", "limit": limit}, NOW_MS) for limit in (60.0, 7.0, 30.0)]
        )
        said = found.models["risk/1"]
        assert (said.scores["risk"][0], said.scores["risk"][2], list(said.refusals)) == (1.0, 2.0, [1])

    def test_a_model_of_a_fixed_number_of_rows_is_refused(self, tmp_path):
        model = node_model("Identity", [tensor("features", shape=(1, 4))], tensor("out", shape=(1, 4)))
        with pytest.raises(ModelError, match="takes 1 rows at a time: export it with a first dimension that is not"):
            scorer(tmp_path, model, card(risk={"output": "out", "column": 0}))

    def test_a_matrix_of_texts_is_refused(self, tmp_path):
        model = node_model("Cast", [tensor("features", TensorProto.STRING)], tensor("out"), to=TensorProto.FLOAT)
        with pytest.raises(ModelError, match=r"'features' is tensor\(string\).*export it as numbers"):
            scorer(tmp_path, model, card(risk={"output": "out", "column": 0}))

    def test_a_named_input_of_several_columns_is_refused(self, tmp_path):
        inputs = [tensor("limits__share", shape=(None, 3))]
        with pytest.raises(ModelError, match=r"one float64 per row: export it with the shape \(rows, 1\)"):
            scorer(tmp_path, node_model("Identity", inputs, tensor("out")), card(risk={"output": "out", "column": 0}))


class TestCard:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("service: card_risk\nscores: {}\n", r"\$\.scores is empty, .*name a score"),
            ("service: card_risk\n", "missing required field `scores`"),
            ("", r"Expected `object`, got `null`; a card holds service"),
            ("service: card_risk\nscores: {risk: {output: p, column: -1}}\n", "counted from 0"),
            ("service: card_risk\nscores: {risk: {output: p, colum: 1}}\n", "unknown field `colum`"),
            ("service: card_risk\nservice: other\nscores: {risk: {output: p}}\n", "'service' stands twice"),
            ("service: card_risk\nscores: {risk: {output: p}, risk: {output: q}}\n", "'risk' stands twice"),
            ("service: [\n", "model.yaml: "),
            ("service: 2013-13-45\n", "month must be in"),
            (CARD_OF_P + "examples: [{inputs: {}, scores: {}}]\n", "is empty"),
            (CARD_OF_P + "examples: [{inputs: {}, scores: {x: 1}}]\n", "names x"),
            (CARD_OF_P + "examples: [{inputs: {}, scores: {risk: 1}, tolerance: 1e-5}]\n", "write 1.0e-5"),
            (CARD_OF_P + "examples: [{inputs: {}, scores: {risk: 1}, tolerance: -1}]\n", "tolerance is -1"),
        ],
    )
    def test_a_card_that_can_not_be_meant_is_refused(self, tmp_path, text, message):
        (tmp_path / "model.yaml").write_text(text)
        with pytest.raises(ModelError, match=message):
            load_card(tmp_path)

    def test_the_highest_version_counts(self, tmp_path):
        write_model(tmp_path)
        for other in ("²", "01.old"):
            (tmp_path / "risk" / other).mkdir()
        assert load_card(tmp_path / "risk").service == "card_risk"


INPUTS = dict(zip(FEATURES, ROWS[0].tolist(), strict=True))
EXPECTED = float(CLASSIFIER.predict_proba(ROWS[:1])[0, 1])


class TestExamples:
    def scorer(self, folder, **example):
        found = {"inputs": INPUTS, "scores": {"risk": EXPECTED}} | example
        return scorer(folder, classifier(), CARD | {"examples": [found]})

    def test_a_model_that_answers_as_its_trainer_said_is_taken(self, tmp_path):
        assert self.scorer(tmp_path).model.card.examples

    def test_another_answer_is_refused_unless_it_is_tolerated(self, tmp_path):
        other = {"risk": EXPECTED + 0.1}
        with pytest.raises(ModelError, match=r"\$\.examples\[0\] of model\.yaml: score 'risk' is .*, expected"):
            self.scorer(tmp_path / "strict", scores=other)
        self.scorer(tmp_path / "tolerant", scores=other, tolerance=0.11)

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"amount": 1.0}, "lacking card_activity__amount_count, .*; unknown amount"),
            (INPUTS | {"limits__share": "much"}, "input 'limits__share' is 'much', and the feature is float64"),
            (INPUTS | {"limits__share": [1.0]}, r"'limits__share' is \[1.0\]"),
        ],
    )
    def test_inputs_that_are_not_the_features_are_refused(self, tmp_path, inputs, message):
        with pytest.raises(ModelError, match=message):
            self.scorer(tmp_path, inputs=inputs)

    def test_a_score_that_is_not_a_number_may_be_expected(self, tmp_path):
        model = node_model("Identity", [tensor("features")], tensor("out"))
        example = {"inputs": INPUTS | {"limits__share": None}, "scores": {"risk": None}}
        scorer(
            tmp_path, model, card(risk={"output": "out", "column": 3}) | {"examples": [example], "not_a_number": None}
        )


def test_an_on_demand_function_that_fails_on_one_request_costs_that_request_alone(tmp_path):
    found = scorer(tmp_path, classifier()).score(
        [ScoringRequest({"card": "a", "limit": limit}, NOW_MS) for limit in (60.0, 13.0, 30.0)]
    )
    assert found.vectors.columns["limits__share"].tolist()[::2] == [1.0, 2.0]
    assert "unlucky" in str(found.vectors.refusals[1])
    assert list(found.vectors.refusals) == [1]
    expected = CLASSIFIER.predict_proba(np.array([[3, 60, 20, 1], [3, 60, 20, 2]], dtype=np.float32))[:, 1]
    np.testing.assert_allclose(found.models["risk/1"].scores["risk"][::2], expected, atol=1e-6)
