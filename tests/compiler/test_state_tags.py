"""Tags that say what rows keep: read, and refused with the repair."""

import msgspec
import pytest

from forebay.pipelines.compiler.row_size import check_size
from forebay.pipelines.compiler.state_tags import state_tags
from forebay.pipelines.contract.plan.views import HOUR_MS
from forebay.pipelines.errors import PlanError
from tests.oracle import Window
from tests.support.build import HOUR, MINUTE, SECOND, make_view

DAY = 24 * HOUR
HOURLY = make_view([Window("count", "", HOUR, 5 * MINUTE), Window("sum", "amount", DAY, HOUR)]).aggregations


def test_without_tags_an_hour_is_kept_and_incomplete_windows_are_refused():
    expected = {"scoring_horizon_ms": HOUR_MS, "resolution_ms": None, "incomplete": "refuse", "infinite": "refuse"}
    expected["publish_every_ms"] = 0
    assert state_tags({}, HOURLY, None, "view") == expected


def test_tags_are_read():
    tags = {"scoring_horizon": "2d", "resolution": "1m", "incomplete": "null", "infinite": "null", "publish": "never"}
    expected = {"scoring_horizon_ms": 2 * DAY, "resolution_ms": MINUTE, "incomplete": "null", "infinite": "null"}
    expected["publish_every_ms"] = None
    assert state_tags(tags, HOURLY, None, "view") == expected


@pytest.mark.parametrize("tag", ["10m", "7m", "0s", "1h"])
def test_a_resolution_that_does_not_divide_every_slide_is_refused_with_one_that_does(tag):
    with pytest.raises(PlanError, match=r"resolution.*does not divide every slide \(5m, 1h\); write '5m'"):
        state_tags({"resolution": tag}, HOURLY, None, "view")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        *[("incomplete", "default"), ("infinite", "serve"), ("scoring_horizon", "an hour"), ("resolution", "x")],
        *[("publish", each) for each in ("", "every", "5s", "every 5", "every 5s 6s", "Never", "every -5s")],
    ],
)
def test_nonsense_is_refused_by_name(tag, value):
    with pytest.raises(PlanError, match=f"view: tag '{tag}'"):
        state_tags({tag: value}, HOURLY, None, "view")


@pytest.mark.parametrize(
    ("tag", "every_ms"), [("each", 0), ("every 1s", SECOND), (" every  90m ", 90 * MINUTE), ("every 1d", DAY)]
)
def test_the_age_of_published_values_is_read(tag, every_ms):
    assert state_tags({"publish": tag}, HOURLY, None, "view")["publish_every_ms"] == every_ms


@pytest.mark.parametrize(
    ("tag", "repair"),
    [
        *[("every 999ms", "write 'every 1s' or more, or 'each'"), ("every 0s", "or 'each'")],
        *[("every 25h", "write 'every 1d' or less"), ("sometimes", "write 'each', 'never', or 'every' and a duration")],
    ],
)
def test_an_age_that_can_not_be_kept_or_means_nothing_is_refused_with_one_that_can(tag, repair):
    with pytest.raises(PlanError, match=f"view: tag 'publish' is '{tag}'.*{repair}"):
        state_tags({"publish": tag}, HOURLY, None, "view")


def test_rows_of_any_length_of_tiles_are_bounded():
    """A day in seconds, for the heads of windows that move by the day."""
    view = make_view([Window("count", "", 10 * DAY, DAY)], resolution_ms=SECOND)
    with pytest.raises(PlanError, match=r"keeps 90000 tiles of 1s .* 4096 .*'scoring_horizon'.*'resolution'"):
        check_size(view, "view")


def test_texts_by_frequency_over_a_thousand_tiles_are_refused_by_their_size():
    view = make_view([Window("top_3", "merchant", 1_000 * MINUTE, MINUTE)])
    with pytest.raises(PlanError, match=r"a row can take \d+ MB, at most 16 are allowed"):
        check_size(view, "view")
    check_size(make_view([Window("top_3", "merchant", DAY, HOUR)]), "view")


def test_long_slides_are_smaller_in_a_view_of_their_own():
    """As the refusal says: beside a short slide, all functions have tiles of its length over the horizon."""
    merchants = Window("top_2", "merchant", DAY, HOUR)
    payments = Window("count", "", HOUR, 5 * MINUTE)
    with pytest.raises(PlanError, match=r"shorten its tag 'scoring_horizon'.* a view of its own"):
        check_size(make_view([payments, merchants], scoring_horizon_ms=3 * DAY), "view")
    check_size(make_view([payments, merchants]), "view")
    for window in (payments, merchants):
        check_size(make_view([window], scoring_horizon_ms=3 * DAY), "view")


def test_the_largest_allowed_windows_of_numbers_fit():
    check_size(make_view([Window("std", "amount", 1_024 * MINUTE, MINUTE)], scoring_horizon_ms=2 * DAY), "view")


def test_a_longer_horizon_is_another_definition():
    """Rows that were kept for a shorter one lack tiles."""
    view = make_view([Window("count", "", HOUR, 5 * MINUTE)])
    assert view.state_life_ms + HOUR == msgspec.structs.replace(view, scoring_horizon_ms=2 * HOUR).state_life_ms


TEN_MINUTES = make_view([Window("count", "", 10 * MINUTE, MINUTE)]).aggregations


@pytest.mark.parametrize(
    ("lateness_ms", "horizon_ms"), [(None, HOUR), (69 * MINUTE, HOUR), (2 * HOUR, 111 * MINUTE), (DAY, 1_431 * MINUTE)]
)
def test_rows_keep_what_late_events_change(lateness_ms, horizon_ms):
    """An event that is as late as allowed is in a window of ten minutes as of the beginning of the horizon."""
    assert state_tags({}, TEN_MINUTES, lateness_ms, "view")["scoring_horizon_ms"] == horizon_ms


def test_a_horizon_too_short_for_the_lateness_is_refused_with_the_shortest():
    with pytest.raises(
        PlanError, match=r"2h late, .*'scoring_horizon' '30m' no window holds one: write '111m' or more"
    ):
        state_tags({"scoring_horizon": "30m"}, TEN_MINUTES, 2 * HOUR, "view")
    assert state_tags({"scoring_horizon": "111m"}, TEN_MINUTES, 2 * HOUR, "view")
