"""Features that are lists, and texts: on-demand views, policies, HTTP and models take them as what they are."""

import asyncio

import dill
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import DataType, Function
from forebay.pipelines.contract.plan.views import (
    Aggregation,
    BatchView,
    Feature,
    JoinKey,
    OnDemandInput,
    OnDemandView,
    Policy,
    StreamView,
    Udf,
)
from forebay.pipelines.errors import FeatureRefused, ModelError
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.history.load import History
from forebay.pipelines.steps.decode.decoder import JsonDecoder
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.assemble import FeatureAssembler
from forebay.serving.features.from_history import HistoryReader
from forebay.serving.features.read import stored_views
from forebay.serving.features.request import ScoringRequest
from forebay.serving.http.app import build_app
from forebay.serving.http.settings import HttpSettings
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from forebay.time_travel import TimeTravel
from tests.serving.endpoint import NOW_MS, FixedClock, client
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, record

CARD = (JoinKey("card", DataType.STRING),)


def view(**policies):
    """The newest amounts, the most frequent merchants, and the last merchant of a card."""
    kept = (
        ("amounts", "amount", Function.LAST_N, 3, DataType.FLOAT64_LIST),
        ("items", "items", Function.LAST_N, 2, DataType.INT64_LIST),
        ("merchants", "merchant", Function.TOP_K, 2, DataType.STRING_LIST),
        ("merchant", "merchant", Function.LAST, 0, DataType.STRING),
    )
    return StreamView(
        "habits",
        CARD,
        SOURCE.name,
        "event_ms",
        tuple(
            Aggregation(name, column, function, HOUR, 5 * MINUTE, parameter, text=column == "merchant")
            for name, column, function, parameter, _ in kept
        ),
        tuple(Feature(name, dtype, **policies) for name, *_, dtype in kept),
        fingerprint="11" * 8,
        ttl_ms=2 * HOUR,
    )


PAID = [
    {"event_ms": START_MS + at * MINUTE, "card": "a", "amount": amount, "items": items, "merchant": merchant}
    for at, amount, items, merchant in [(10, 1.5, 7, "é"), (20, None, None, "b"), (30, 2.5, 8, ""), (40, 3.5, 9, "é")]
]
HABITS = {
    "habits__amounts": [3.5, 2.5, 1.5],
    "habits__items": [9, 8],
    "habits__merchants": ["é", ""],
    "habits__merchant": "é",
}
NOTHING = {"habits__amounts": [], "habits__items": [], "habits__merchants": [], "habits__merchant": None}


def on_demand(function, mode, singleton=False):
    habits = view()
    return OnDemandView(
        "picked",
        tuple(OnDemandInput(each.name, "habits", each.dtype) for each in habits.features),
        (
            Feature("newest", DataType.FLOAT64),
            Feature("lengths", DataType.INT64_LIST),
            Feature("named", DataType.STRING_LIST),
        ),
        Udf("pick", mode, dill.dumps(function, recurse=True), "", singleton),
    )


def pick_each(inputs):
    amounts, merchants = inputs["amounts"], inputs["merchants"]
    return {
        "newest": amounts[0] if amounts else None,
        "lengths": [len(amounts), len(inputs["items"])],
        "named": [each for each in merchants if each] or None,
    }


def pick_columns(inputs):
    return {
        "newest": [each[0] if each else None for each in inputs["amounts"]],
        "lengths": [[len(a), len(b)] for a, b in zip(inputs["amounts"], inputs["items"], strict=True)],
        "named": [[each for each in names if each] or None for names in inputs["merchants"]],
    }


def pick_frame(inputs):
    import pandas as pd

    return pd.DataFrame(
        {
            "newest": inputs["amounts"].str[0],
            "lengths": [[len(a), len(b)] for a, b in zip(inputs["amounts"], inputs["items"], strict=True)],
            "named": [[each for each in names if each] or None for names in inputs["merchants"]],
        }
    )


def plan_of(*views, batch=(), picked=()):
    used = tuple(ServiceView(each.name, each.name, tuple(one.name for one in each.features)) for each in views)
    service = FeatureService("habits", used, dependencies=(), join_keys=CARD)
    streams = tuple(each for each in views if isinstance(each, StreamView))
    return Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), streams, tuple(batch), tuple(picked), (service,))


def travelled(plan):
    travel = TimeTravel(plan)
    travel.feed("payments", *PAID)
    return travel


class TestFeatures:
    def test_lists_and_texts_are_as_of_the_time_asked_for(self):
        travel = travelled(plan_of(view()))
        assert travel.features("habits", NOW_MS, card="a") == HABITS
        assert travel.features("habits", START_MS + HOUR + 29 * MINUTE, card="a") == {
            "habits__amounts": [3.5, 2.5],
            "habits__items": [9, 8],
            "habits__merchants": ["", "é"],
            "habits__merchant": "é",
        }

    def test_empty_windows_unknown_and_stale_entities_have_empty_lists(self):
        travel = travelled(plan_of(view()))
        for card, at_ms in (("a", START_MS + 2 * HOUR), ("nobody", NOW_MS), ("a", START_MS + 100 * HOUR)):
            assert travel.features("habits", at_ms, card=card) == NOTHING

    def test_an_empty_list_is_missing_to_a_policy_that_refuses(self):
        travel = travelled(plan_of(view(missing=Policy("refuse"))))
        assert travel.features("habits", NOW_MS, card="a") == HABITS
        with pytest.raises(FeatureRefused, match="habits__amounts: missing"):
            travel.features("habits", NOW_MS, card="nobody")

    def test_a_stale_list_can_be_refused(self):
        travel = travelled(plan_of(view(stale=Policy("refuse"))))
        with pytest.raises(FeatureRefused, match="habits__amounts: stale"):
            travel.features("habits", START_MS + 100 * HOUR, card="a")

    @pytest.mark.parametrize(
        ("function", "mode", "singleton"),
        [(pick_each, "python", True), (pick_columns, "python", False), (pick_frame, "pandas", False)],
    )
    def test_on_demand_views_take_lists_and_make_lists(self, function, mode, singleton):
        picked = on_demand(function, mode, singleton)
        travel = travelled(plan_of(view(), picked, picked=[picked]))
        found = travel.features("habits", NOW_MS, card="a")
        assert [found[f"picked__{each}"] for each in ("newest", "lengths", "named")] == [3.5, [3, 2], ["é"]]
        nobody = travel.features("habits", NOW_MS, card="nobody")
        assert [nobody[f"picked__{each}"] for each in ("newest", "lengths", "named")] == [None, [0, 0], None]

    @pytest.mark.parametrize("mode", ["python", "pandas"])
    def test_what_an_on_demand_view_does_to_its_input_changes_no_feature(self, mode):
        def sorts(inputs):
            for each in inputs["amounts"]:
                each.sort()
            return inputs.assign(newest=1.0, lengths=None, named=None) if mode == "pandas" else pick_columns(inputs)

        picked = on_demand(sorts, mode)
        travel = travelled(plan_of(view(), picked, picked=[picked]))
        assert travel.features("habits", NOW_MS, card="a")["habits__amounts"] == HABITS["habits__amounts"]

    def test_a_long_text_is_kept_up_to_its_bound(self):
        """256 bytes: texts that differ only later are one."""
        travel = TimeTravel(plan_of(view()))
        names = ["é" * 200, "é" * 300, "é" * 128, "é" * 127]
        travel.feed("payments", *({**PAID[0], "merchant": name} for name in names))
        found = travel.features("habits", NOW_MS, card="a")
        assert found["habits__merchants"] == ["é" * 128, "é" * 127]
        assert found["habits__merchant"] == "é" * 127


class TestBatchViews:
    LIMITS = BatchView(
        "limits", CARD, (Feature("steps", DataType.INT64_LIST), Feature("names", DataType.STRING_LIST)), ttl_ms=HOUR
    )

    def test_lists_that_feast_materialized_are_read(self):
        travel = TimeTravel(plan_of(view(), self.LIMITS, batch=[self.LIMITS]))
        travel.materialize("limits", START_MS, {"card": "a", "steps": [1, 2**40], "names": []}, {"card": "b"})
        found = [travel.features("habits", START_MS, card=card) for card in "ab"]
        assert [(each["limits__steps"], each["limits__names"]) for each in found] == [([1, 2**40], []), (None, None)]
        assert travel.features("habits", START_MS + HOUR + 1, card="a")["limits__steps"] is None

    def test_lists_in_a_batch_source_are_read_for_training(self, tmp_path):
        path = tmp_path / "limits.parquet"
        stamps = pd.to_datetime([START_MS, START_MS], unit="ms", utc=True)
        rows = {"card": ["a", "b"], "event_timestamp": stamps, "steps": [[1, 2], None], "names": [["x"], []]}
        pd.DataFrame(rows).to_parquet(path)
        limits = BatchView("limits", CARD, self.LIMITS.features, batch_path=str(path))
        plan = plan_of(limits, batch=[limits])
        service = plan.service("habits")
        assembler = FeatureAssembler(plan, service, HistoryReader(plan, stored_views(plan, service), History(tmp_path)))
        vectors = assembler.assemble([ScoringRequest({"card": card}, START_MS) for card in "ab"])
        assert assembler.values(vectors) == {"limits__steps": [[1, 2], None], "limits__names": [["x"], []]}


def write_model(folder, inputs, node):
    """A model with these inputs whose score `out` one node makes of them."""
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, 3])
    graph = helper.make_graph([node], "graph", inputs, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    version = folder / "habits" / "1"
    version.mkdir(parents=True)
    onnx.save(model, version / "model.onnx")
    scores = ", ".join(f"s{at}: {{output: out, column: {at}}}" for at in range(3))
    (version / "model.yaml").write_text(f"service: habits\nscores: {{{scores}}}\nnot_a_number: null\n")
    return version


def takes(name, kind=TensorProto.FLOAT, shape=(None, 3)):
    return helper.make_tensor_value_info(name, kind, list(shape))


AMOUNTS = takes("habits__amounts")
AS_IS = helper.make_node("Identity", ["habits__amounts"], ["out"])


@pytest.fixture
def store():
    store = MemoryStore()
    payloads = [record(at, event).value for at, event in enumerate(PAID)]
    batch, _ = Validator(SOURCE)(JsonDecoder(SOURCE)(payloads).events)
    writer = ViewWriter(view(), RowPlace("shop", "payments", store))
    writer.write([ReadEvents(0, batch, np.arange(len(PAID)))], Incarnation("payments", "x", 4), True)
    return store


class TestModels:
    def test_an_input_of_a_lists_own_name_takes_it_padded_with_nan(self, tmp_path, store):
        scorer = RequestScorer.of(plan_of(view()), [load_model(write_model(tmp_path, [AMOUNTS], AS_IS))], store)
        scorer.warm_up()
        scored = scorer.score([ScoringRequest({"card": "a"}, at) for at in (NOW_MS, NOW_MS + 29 * MINUTE)])
        np.testing.assert_array_equal(
            np.array([scored.models["habits/1"].scores[f"s{at}"] for at in range(3)]).T,
            [[3.5, 2.5, 1.5], [3.5, 2.5, np.nan]],
        )

    def test_a_list_that_is_longer_than_the_input_is_cut(self, tmp_path, store):
        two = takes("habits__amounts", shape=(None, 2))
        tile = helper.make_node("Concat", ["habits__amounts", "habits__amounts"], ["out"], axis=1)
        scorer = RequestScorer.of(plan_of(view()), [load_model(write_model(tmp_path, [two], tile))], store)
        scored = scorer.score([ScoringRequest({"card": "a"}, NOW_MS)])
        assert [scored.models["habits/1"].scores[f"s{at}"] for at in range(3)] == [[3.5], [2.5], [3.5]]

    def test_a_list_of_texts_is_padded_with_empty_ones(self, tmp_path, store):
        texts = takes("habits__merchants", TensorProto.STRING)
        encode = helper.make_node(
            "LabelEncoder",
            ["habits__merchants"],
            ["out"],
            domain="ai.onnx.ml",
            keys_strings=["é", ""],
            values_floats=[1.0, 2.0],
            default_float=9.0,
        )
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, 3])
        version = write_model(tmp_path, [AMOUNTS], AS_IS)
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
        graph = helper.make_graph([encode], "graph", [texts], [out])
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), version / "model.onnx")
        scored = RequestScorer.of(plan_of(view()), [load_model(version)], store).score(
            [ScoringRequest({"card": "a"}, NOW_MS)]
        )
        assert [scored.models["habits/1"].scores[f"s{at}"] for at in range(3)] == [[1.0], [2.0], [2.0]]

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            (
                takes("features", shape=(None, 4)),
                "one number per feature; lists: habits__amounts, .*, habits__merchants: pick elements of them",
            ),
            (takes("habits__amounts", shape=(None, None)), r"export it with the shape \(rows, n\), n a number"),
            (takes("habits__amounts", shape=(None,)), r"the feature is array\(float64\): export it with the shape"),
            (takes("habits__items", TensorProto.INT64), r"tensor\(int64\) .* as tensor\(float\) or tensor\(double\)"),
            (takes("habits__merchants"), r"is tensor\(float\), the feature is array\(string\)"),
        ],
    )
    def test_a_model_that_can_not_take_lists_is_refused_with_the_repair(self, tmp_path, store, wanted, message):
        node = helper.make_node("Cast", [wanted.name], ["out"], to=TensorProto.FLOAT)
        model = load_model(write_model(tmp_path, [wanted], node))
        with pytest.raises(ModelError, match=message):
            RequestScorer.of(plan_of(view()), [model], store)


def test_over_http_lists_are_arrays(tmp_path, store):
    scorer = RequestScorer.of(plan_of(view()), [load_model(write_model(tmp_path, [AMOUNTS], AS_IS))], store)
    app = build_app(scorer, FixedClock(), HttpSettings())

    async def ask(path):
        async with client(app) as http:
            body = {"entities": [{"card": "a"}, {"card": "nobody"}], "include_features": True}
            return (await http.post(path, json=body)).json()

    looked_up = asyncio.run(ask("/v1/features"))["results"]
    predicted = asyncio.run(ask("/v1/predict"))["predictions"]
    for answers in (looked_up, predicted):
        assert [each["features"] for each in answers] == [HABITS, NOTHING]
    assert predicted[1]["scores"] == {"s0": None, "s1": None, "s2": None}
    described = asyncio.run(_get(app, "/v1/models"))["models"][0]["inputs"]
    assert described["habits__amounts"] == "array(float64)"


async def _get(app, path):
    async with client(app) as http:
        return (await http.get(path)).json()
