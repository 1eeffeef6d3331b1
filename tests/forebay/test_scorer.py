"""DataFrames are scored as the endpoint scores requests; what can't be scored says why."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from forebay import ModelError, PlanError, RequestError, Scorer, SettingsError
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.plan.plan_file import write_plan
from tests.serving.endpoint import NOW_MS, PLAN, World, fill, write_model

NOW = datetime.fromtimestamp(NOW_MS / 1000, tz=UTC)
FEATURES = ["card_activity__amount_count", "card_activity__amount_sum", "card_activity__amount_mean", "limits__share"]


@pytest.fixture
def store():
    made = MemoryStore()
    fill(made)
    return made


@pytest.fixture
def scorer(tmp_path, store):
    write_model(tmp_path)
    return Scorer(PLAN, tmp_path / "risk", store)


def asked(**columns):
    return pd.DataFrame({"card": ["a", "b"], "limit": [100.0, 50.0]} | columns, index=["x", "y"])


class TestScore:
    def test_the_features_are_folded_by_hand_and_added_up_by_the_model(self, scorer):
        """Card a paid 10, 20 and 30 (count 3, sum 60, mean 20, share 0.6), card b 5 (1, 5, 5, 0.1)."""
        scores = scorer.score(asked(), NOW)
        assert scores.index.tolist() == ["x", "y"]
        assert scores["risk"].tolist() == pytest.approx([83.6, 11.1], abs=1e-5)
        assert scores["refusal"].tolist() == [None, None]
        assert scorer.version == "1"

    def test_the_endpoint_says_the_same(self, scorer, tmp_path_factory):
        world = World(tmp_path_factory.mktemp("endpoint"))
        answers = world.predict({"card": "a", "limit": 100.0}, {"card": "b", "limit": 50.0}, as_of_ms=NOW_MS)
        theirs = [each["scores"]["risk"] for each in answers["predictions"]]
        assert scorer.score(asked(), NOW_MS)["risk"].tolist() == theirs

    def test_each_row_has_its_own_time_and_other_columns_are_left_out(self, scorer):
        """Two hours later the window is empty: the mean is its default, -1, and the share 0."""
        times = pd.to_datetime([NOW, NOW + timedelta(hours=2)])
        scores = scorer.score(asked(card=["a", "a"], at=times, note=[None, object()]), "at")
        assert scores["risk"].tolist() == pytest.approx([83.6, -1.0], abs=1e-5)

    def test_rows_that_are_refused_say_why_and_the_others_are_scored(self, scorer):
        rows = pd.DataFrame({"card": ["a", "b", None, 7, "a"], "limit": [100.0, 13.0, 1.0, 1.0, None]})
        scores = scorer.score(rows, NOW)
        assert np.isnan(scores["risk"]).tolist() == [False, True, False, True, True]
        assert scores["risk"][2] == -1.0, "a card that is not known has no payments, and the mean's default"
        refusals = scores["refusal"].tolist()
        assert refusals[0] is None
        assert "unlucky" in refusals[1]
        assert refusals[3] == "rows[3].card: expected string, got int"
        assert "limits__share" in refusals[4]

    def test_more_rows_than_are_read_at_once(self, scorer, monkeypatch):
        monkeypatch.setattr("forebay.scorer.ROWS_AT_ONCE", 3)
        rows = pd.DataFrame({"card": ["a", "b"] * 5, "limit": [100.0, 50.0] * 5})
        rows.loc[4, "limit"] = 13.0
        scores = scorer.score(rows, NOW)
        expected = [83.6, 11.1] * 5
        expected[4] = scores["risk"][4]
        assert scores["risk"].tolist() == pytest.approx(expected, abs=1e-5, nan_ok=True)

    def test_no_rows_are_no_scores(self, scorer):
        assert scorer.score(asked().iloc[:0], NOW).shape == (0, 2)
        assert scorer.features(asked().iloc[:0], NOW).columns.tolist() == FEATURES

    @pytest.mark.parametrize(
        ("rows", "as_of", "message"),
        [
            (asked().drop(columns="card"), NOW, r"^rows: they have no column, .* card \(string\); give one each"),
            (asked(), NOW.replace(tzinfo=None), "^as_of: a time without a zone"),
            (asked(at=pd.to_datetime(["2013-01-01", "2013-01-02"])), "at", r"^rows\[0\]\.at: a time without a zone"),
            (asked(at=[NOW_MS, None]), "at", r"^rows\[0\]\.at: expected a time, or ms since the epoch, got 135"),
            (asked(at=pd.to_datetime([None, NOW])), "at", r"^rows\[0\]\.at: expected a time"),
            (asked(), "at", "^as_of: the rows have no column 'at'"),
            (asked(), NOW_MS // 1000, "if it is s: give milliseconds"),
            (asked(), NOW_MS * 1000, "if it is us: give milliseconds"),
        ],
    )
    def test_what_is_no_question_is_an_error(self, scorer, rows, as_of, message):
        with pytest.raises(RequestError, match=message):
            scorer.score(rows, as_of)


class TestFeatures:
    def test_they_are_the_ones_that_are_scored(self, scorer):
        features = scorer.features(asked(), NOW)
        assert features.columns.tolist() == FEATURES
        assert features.loc["x"].tolist() == [3, 60.0, 20.0, 0.6]
        assert features.dtypes.astype(str).tolist() == ["Int64", "float64", "float64", "float64"]
        pd.testing.assert_frame_equal(scorer.score_features(features), scorer.score(asked(), NOW))

    def test_whole_numbers_that_pandas_made_floats_are_whole_numbers(self, scorer):
        rows = pd.DataFrame([[3.0, 60.0, 20.0, 0.6]], columns=FEATURES)
        assert scorer.score_features(rows)["risk"].tolist() == pytest.approx([83.6], abs=1e-5)

    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            (FEATURES[0], 3.5, r"rows\[0\]\.card_activity__amount_count: expected int64, got float"),
            (FEATURES[1], "60", r"rows\[0\]\.card_activity__amount_sum: expected float64, got str"),
        ],
    )
    def test_given_features_of_another_type_are_an_error(self, scorer, column, value, message):
        rows = pd.DataFrame([dict(zip(FEATURES, [3, 60.0, 20.0, 0.6], strict=True)) | {column: value}])
        with pytest.raises(RequestError, match=message):
            scorer.score_features(rows)

    def test_a_feature_without_a_column_is_an_error(self, scorer):
        with pytest.raises(RequestError, match=r"no column, or several, of these names: limits__share \(float64\)"):
            scorer.score_features(pd.DataFrame([[1, 2.0, 3.0]], columns=FEATURES[:3]))


class TestWhatItIsMadeOf:
    def test_plan_and_model_come_from_files_and_rows_from_a_real_store(self, tmp_path, valkey):
        from forebay.pipelines.adapters.redis.store import RedisStore

        write_plan(PLAN, tmp_path / "plan.msgpack")
        write_model(tmp_path)
        real = RedisStore(valkey)
        fill(real)
        real.close()
        scorer = Scorer(str(tmp_path / "plan.msgpack"), str(tmp_path / "risk"), valkey)
        assert scorer.score(asked(), NOW)["risk"].tolist() == pytest.approx([83.6, 11.1], abs=1e-5)

    def test_without_a_store_given_features_are_scored_and_others_say_what_lacks(self, tmp_path):
        scorer = Scorer(PLAN, write_model(tmp_path))
        assert scorer.score_features(pd.DataFrame([[3, 60.0, 20.0, 0.6]], columns=FEATURES))["risk"].notna().all()
        with pytest.raises(SettingsError, match=r"the plan names no online store; give Scorer"):
            scorer.score(asked(), NOW)

    def test_a_version_that_does_not_fit_is_passed_over_as_by_a_worker(self, tmp_path, store):
        write_model(tmp_path)
        (tmp_path / "risk" / "2").mkdir()
        assert Scorer(PLAN, tmp_path / "risk", store).version == "1"

    def test_what_can_not_be_used_is_an_error(self, tmp_path, store):
        with pytest.raises(ModelError, match="holds no model"):
            Scorer(PLAN, tmp_path / "risk", store)
        with pytest.raises(PlanError, match="no plan can be read"):
            Scorer(tmp_path / "plan.msgpack", tmp_path / "risk", store)
        version = write_model(tmp_path)
        (version / "model.yaml").write_text("service: card_risk\nscores: {refusal: {output: total}}\n")
        with pytest.raises(ModelError, match="rename it"):
            Scorer(PLAN, version, store)
