"""The plan file: what is written is read back, and nothing else is."""

import stat
import struct

import msgspec
import pytest

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import next_generation, read_plan, write_plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation, Feature, JoinKey, Policy, StreamView, Udf
from forebay.pipelines.errors import PlanError

PLAN = Plan(
    format=1,
    project="p",
    fingerprint="00" * 8,
    redis="localhost:6379",
    sources=(Source("s", "t", "b:9092", "json", (Column("at", DataType.INT64, True),), "at", ("k",), 5),),
    stream_views=(
        StreamView(
            "v",
            (JoinKey("k", DataType.STRING),),
            "s",
            "at",
            (Aggregation("n", "", Function.COUNT, 60_000, 1_000),),
            (Feature("n", DataType.INT64, Policy("default", 0.0), Policy("refuse")),),
            Udf("f", "pandas", b"\x80\x04N.", "def f(x): ..."),
        ),
    ),
    batch_views=(),
    on_demand_views=(),
    services=(),
)


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "new" / "plan.bin"
    write_plan(PLAN, path)
    return path


def test_what_is_written_is_read_back(plan_file):
    assert read_plan(plan_file) == PLAN


def test_only_the_owner_can_read_the_file(plan_file):
    assert stat.S_IMODE(plan_file.stat().st_mode) == 0o600


def test_a_new_plan_replaces_the_old_one_and_leaves_nothing_else(plan_file):
    write_plan(PLAN, plan_file)
    assert list(plan_file.parent.iterdir()) == [plan_file]


@pytest.mark.parametrize("size", [0, 1, 15, 40, 52, 60])
def test_a_file_cut_short_is_refused(plan_file, size):
    plan_file.write_bytes(plan_file.read_bytes()[:size])
    with pytest.raises(PlanError, match="run forebay plan"):
        read_plan(plan_file)


@pytest.mark.parametrize("at", [20, 30, 60, -1])
def test_one_flipped_bit_is_noticed(plan_file, at):
    content = bytearray(plan_file.read_bytes())
    content[at] ^= 1
    plan_file.write_bytes(content)
    with pytest.raises(PlanError, match=r"damaged.*run forebay plan"):
        read_plan(plan_file)


def test_another_format_is_refused_by_its_number(plan_file):
    content = bytearray(plan_file.read_bytes())
    struct.pack_into("<I", content, 16, 99)
    plan_file.write_bytes(content)
    with pytest.raises(PlanError, match=r"plan format 99.*run forebay plan"):
        read_plan(plan_file)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "plan.bin"
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(PlanError, match="not a plan file; run forebay plan"):
        read_plan(path)


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(PlanError, match="run forebay plan"):
        read_plan(tmp_path / "plan.bin")


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlanError, match=r"file/plan\.bin: can't be written"):
        write_plan(PLAN, tmp_path / "file" / "plan.bin")


def test_every_plan_that_is_made_is_of_a_later_generation(tmp_path):
    """The wall clock orders plans of different machines; the file there, those of one whose clock stands still."""
    path = tmp_path / "plan"
    assert next_generation(path, 1_000) == 1_000
    write_plan(msgspec.structs.replace(PLAN, generation=1_000), path)
    assert [next_generation(path, now_ms) for now_ms in (500, 1_000, 2_000)] == [1_001, 1_001, 2_000]
    path.write_bytes(b"no plan")
    assert next_generation(path, 500) == 500
