"""Registry to plan: the payments repo through a real `feast apply`, and what keeps a registry from being read."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from feast.repo_config import RepoConfig
from rich.console import Console

from forebay.definitions.plan_view import plan_as_json, print_plan
from forebay.pipelines.compiler.registry import open_registry, redis_of
from forebay.pipelines.contract.kafka.topics import is_direct
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.contract.plan.types import Column, DataType, EventId
from forebay.pipelines.contract.plan.views import OnDemandInput, Policy
from forebay.pipelines.errors import PlanError
from tests.support.payments import REPO, ROOT, run_compiler


@pytest.fixture(scope="session")
def plan(payments):
    return read_plan(payments / "plan.bin")


class TestPayments:
    def test_sources_of_one_topic_become_one(self, plan):
        (source,) = plan.sources
        assert (source.topic, source.key, source.timestamp_field) == (
            "payments.authorised",
            ("card_id",),
            "event_time",
        )
        assert source.allowed_lateness_ms == 600_000
        assert source.event_id == EventId("payment_id", 300_000)
        assert {view.event_id for view in plan.stream_views} == {source.event_id}
        assert source.columns[1] == Column("event_time", DataType.UNIX_TIMESTAMP, required=True)
        assert source.columns[-1] == Column("declined", DataType.BOOL)

    def test_a_view_by_more_than_the_topics_key_is_not_routed(self, plan):
        direct = {view.name: is_direct(plan.source(view.source), view) for view in plan.stream_views}
        assert direct == {
            "card_activity": True,
            "card_at_merchant": True,
            "merchant_activity": False,
            "card_habits": True,
        }

    def test_features_are_in_the_order_of_their_aggregations(self, plan):
        view = plan.stream_view("card_activity")
        assert [feature.name for feature in view.features] == [each.name for each in view.aggregations]
        assert view.features[0].dtype is DataType.INT64
        assert view.features[1].missing == Policy("default", 0.0)
        assert (view.ttl_ms, view.longest_window_ms) == (172_800_000, 86_400_000)

    def test_values_that_are_kept_are_numbers_or_texts_as_their_features_are(self, plan):
        view = plan.stream_view("card_habits")
        assert [(each.dtype, made.text) for each, made in zip(view.features, view.aggregations, strict=True)] == [
            (DataType.INT64_LIST, False),
            (DataType.STRING_LIST, True),
            (DataType.STRING, True),
        ]

    def test_batch_paths_are_absolute(self, plan, payments):
        path = payments / "feature_repo" / "data" / "card_activity.parquet"
        assert plan.stream_view("card_activity").batch_path == str(path)

    def test_the_service_lists_its_columns_keys_and_request(self, plan):
        service = plan.service("fraud")
        assert [(view.alias, view.features) for view in service.views] == [
            ("card_activity", ("payments_count_1h", "amount_mean_1h", "declined_mean_1d")),
            ("card_at_merchant", ("payments_count_7d", "since_last_payment")),
            ("merchant_activity", ("declined_mean_1h",)),
            ("amount_ratio", ("amount_to_mean",)),
        ]
        assert service.dependencies == ()
        assert service.request == (Column("amount_cents", DataType.INT64),)
        assert [key.name for key in service.join_keys] == ["card_id", "merchant_id"]

    def test_on_demand_inputs_come_from_views_and_the_request(self, plan):
        inputs = plan.on_demand_views[0].inputs
        assert inputs[1] == OnDemandInput("amount_mean_1h", "card_activity", DataType.FLOAT64)
        assert inputs[-1] == OnDemandInput("amount_cents", "", DataType.INT64)

    def test_the_functions_run_where_neither_feast_nor_the_repo_is(self, payments):
        script = """
import json, sys
from pathlib import Path
import dill, pandas as pd
from forebay.pipelines.contract.plan.plan_file import read_plan
plan = read_plan(Path(sys.argv[1]))
view = dill.loads(plan.stream_view("card_activity").udf.body)
ratio = dill.loads(plan.on_demand_views[0].udf.body)
amounts = view(pd.DataFrame({"amount_cents": [250]}))["amount"].tolist()
ratios = ratio(pd.DataFrame({"amount_cents": [3_000], "amount_mean_1h": [20.0]}))["amount_to_mean"].tolist()
loaded = {name.split(".")[0] for name in sys.modules} & {"feast", "payments"}
print(json.dumps([amounts, ratios, sorted(loaded)]))
"""
        command = [sys.executable, "-c", script, str(payments / "plan.bin")]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert json.loads(result.stdout) == [[2.5], [1.5], []]

    def test_another_process_compiles_the_same_fingerprints(self, payments, plan):
        result = run_compiler(payments / "feature_repo", payments / "again.bin", seed=2)
        assert result.returncode == 0
        again = read_plan(payments / "again.bin")
        assert again.fingerprint == plan.fingerprint
        assert [view.fingerprint for view in again.stream_views] == [view.fingerprint for view in plan.stream_views]
        assert len({plan.fingerprint, *(view.fingerprint for view in plan.stream_views)}) == 5

    def test_the_compiler_is_silent_and_warns_nobody(self, payments):
        assert open_registry(payments / "feature_repo").project == "payments"

    def test_a_plan_prints_and_has_a_json_form(self, plan):
        plain = json.loads(json.dumps(plan_as_json(plan)))
        assert "body" not in plain["stream_views"][0]["udf"]
        assert (plain["sources"][0]["format"], "schema" in plain["sources"][0]) == ("json", False)
        assert plain["stream_views"][3]["topic"] == "payments.merchant_id.payments.authorised"
        console = Console(width=160, file=io.StringIO())
        print_plan(plan, console)
        text = console.file.getvalue()
        assert "mean(declined)" in text
        assert "payment_id, 5m" in text
        assert "scoring horizon 6h, resolution 5m" in " ".join(text.split())
        assert "amount_ratio__amount_to_mean" in text


def test_a_folder_without_a_repo_is_an_error_line_and_status_2(tmp_path):
    result = run_compiler(tmp_path, tmp_path / "plan.bin", seed=1)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "feature_store.yaml" in result.stderr
    assert not (tmp_path / "plan.bin").exists()


def test_a_repo_that_was_never_applied_says_so(tmp_path):
    shutil.copy(REPO / "feature_store.yaml", tmp_path)
    with pytest.raises(PlanError, match="run feast apply"):
        open_registry(tmp_path)


class TestOnlineStore:
    @staticmethod
    def config(**changes):
        settings = {
            "project": "p",
            "provider": "local",
            "registry": "data/registry.db",
            "entity_key_serialization_version": 3,
            "online_store": {
                "type": "redis",
                "connection_string": "r:6379,db=1,password=secret,username=u,ssl=true",
            },
        }
        return RepoConfig(**(settings | changes))

    def test_secrets_stay_out_of_the_plan(self):
        assert redis_of(self.config(), "yaml") == "r:6379,db=1,ssl=true"

    def test_an_address_in_an_unset_variable_is_left_to_the_settings(self):
        store = {"type": "redis", "connection_string": "${NOT_SET_ANYWHERE},ssl=true"}
        assert redis_of(self.config(online_store=store), "yaml") == ""

    def test_another_store_is_refused(self):
        with pytest.raises(PlanError, match="online_store is 'sqlite', which is not supported; set type: redis"):
            redis_of(self.config(online_store={"type": "sqlite"}), "yaml")

    def test_a_cluster_is_refused(self):
        store = {"type": "redis", "redis_type": "redis_cluster"}
        with pytest.raises(PlanError, match="redis_cluster is not supported yet"):
            redis_of(self.config(online_store=store), "yaml")
