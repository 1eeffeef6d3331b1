"""Hot reload: when a newer plan becomes the live one, and what is done before."""

import itertools

import msgspec
import pytest
from prometheus_client import REGISTRY

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import read_plan, write_plan
from forebay.pipelines.contract.store.keys import progress_field
from forebay.pipelines.contract.store.lease import Lease, encode_lease, leases_key
from forebay.pipelines.contract.store.publication import DEFINITION, Publication, encode_publication, publication_key
from forebay.pipelines.errors import SettingsError, StoreUnavailable
from forebay.pipelines.feature_processor.backoff import Backoff
from forebay.pipelines.feature_processor.rollout import follow as module
from forebay.pipelines.feature_processor.rollout import leased
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from tests.oracle import Window
from tests.support.build import HOUR, SOURCE, make_view

WINDOWS = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(WINDOWS)
OTHER = make_view(WINDOWS, name="other", fingerprint="22" * 8)
THIRD = make_view(WINDOWS, name="third", fingerprint="33" * 8)


def plan(*views, fingerprint="01" * 8):
    return Plan(PLAN_FORMAT, "shop", fingerprint, "", (SOURCE,), views, (), (), ())


def refused(fingerprint, reason):
    """The metric that says whether a plan is refused."""
    return REGISTRY.get_sample_value("forebay_plan_refused", {"plan": fingerprint, "reason": reason})


class SideProcess:
    """Remembers what it was asked to do."""

    made = ()

    def __init__(self, share, _work):
        self.views = {view.name for view in share.plan.stream_views}
        self.publishes = share.publishes
        self.group = share.group
        self.running = False
        SideProcess.made = (*SideProcess.made, self)

    def start(self):
        self.running = True

    def stop(self):
        self.running = False


@pytest.fixture
def world(monkeypatch):
    """What is behind, and what happens where a plan is tried."""
    state = {"behind": set(), "failure": None, "store": MemoryStore()}

    def not_ready(asked, *_):
        if state["failure"]:
            raise state["failure"]
        return state["behind"] & {view.name for view in asked.stream_views}

    monkeypatch.setattr(module, "Topics", lambda _: None)
    monkeypatch.setattr(module, "SideProcess", SideProcess)
    monkeypatch.setattr(module, "RedisStore", lambda _: state["store"])
    monkeypatch.setattr(leased, "SideProcess", SideProcess)
    monkeypatch.setattr(module, "not_ready", not_ready)
    monkeypatch.setattr(module, "build_topics", lambda *_: [])
    SideProcess.made = ()
    return state


@pytest.fixture
def made(tmp_path, world):
    """A reload on a plan file."""
    path = tmp_path / "plan"
    settings = ProcessorSettings(
        brokers="127.0.0.1:1",
        redis="127.0.0.1:1",
        metrics_host="",
        metrics_port=0,
        max_batch_records=1,
        session_timeout_ms=6_000,
        plan_file=path,
    )

    def make(first):
        write_plan(first, path)
        reload = module.PlanFollower(first, settings, print)
        reload.begin()
        return reload, path

    return make


def test_without_a_newer_plan_nothing_is_due(made):
    reload, _ = made(plan(CARDS))
    assert not reload.look()


def test_a_plan_whose_views_are_ready_is_due_at_once(made):
    reload, path = made(plan(CARDS))
    newer = plan(CARDS, OTHER, fingerprint="02" * 8)
    write_plan(newer, path)
    assert reload.look()
    reload.switch()
    assert (reload.live, SideProcess.made) == (newer, ())
    assert not reload.look()


def test_views_that_are_behind_are_computed_beside_first(made, world):
    reload, path = made(plan(CARDS))
    world["behind"] = {"other"}
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    assert [reload.look(), reload.look()] == [False, False]
    (beside,) = SideProcess.made
    assert (beside.views, beside.running, beside.publishes) == ({"other"}, True, False)
    world["behind"] = set()
    assert reload.look()
    reload.switch()
    assert not beside.running


def test_one_that_ended_is_started_again(made, world):
    reload, path = made(plan(CARDS))
    world["behind"] = {"other"}
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    reload.look()
    SideProcess.made[0].running = False
    reload.look()
    assert [each.running for each in SideProcess.made] == [False, True]


def test_views_that_are_computed_anyway_are_not_computed_beside(made, world):
    """They look behind where a process beside this one is ahead, or the store has fallen back."""
    reload, path = made(plan(CARDS))
    world["behind"] = {"card_activity"}
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    assert reload.look()
    assert SideProcess.made == ()


def test_never_fewer_views_are_computed_beside_than_before(made, world):
    """Others may have left it the partitions of views that look ready to this one."""
    reload, path = made(plan(CARDS))
    write_plan(plan(CARDS, OTHER, THIRD, fingerprint="02" * 8), path)
    for behind in ({"other"}, {"third"}, {"other"}):
        world["behind"] = behind
        reload.look()
    assert [each.views for each in SideProcess.made] == [{"other"}, {"other", "third"}]
    assert [each.running for each in SideProcess.made] == [False, True]


def test_a_still_newer_plan_replaces_the_one_that_is_computed_beside(made, world):
    reload, path = made(plan(CARDS))
    world["behind"] = {"other", "third"}
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    reload.look()
    write_plan(plan(CARDS, THIRD, fingerprint="03" * 8), path)
    reload.look()
    assert [(each.views, each.running) for each in SideProcess.made] == [({"other"}, False), ({"third"}, True)]


def test_a_plan_that_changes_nothing_here_is_taken_without_a_switch(made):
    reload, path = made(plan(CARDS))
    newer = msgspec.structs.replace(plan(CARDS, fingerprint="02" * 8), redis="elsewhere:1")
    write_plan(newer, path)
    assert not reload.look()
    assert reload.live == newer


@pytest.mark.parametrize(
    "failure", [StoreUnavailable("away"), SettingsError("topic 'x' does not exist"), RuntimeError("a bug")]
)
def test_a_plan_that_can_not_be_run_yet_is_tried_again(made, world, failure):
    reload, path = made(plan(CARDS))
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    world["failure"] = failure
    assert not reload.look()
    world["failure"] = None
    looks = 0
    while not reload.look():
        looks += 1
    assert looks <= module.TRY_AGAIN_LOOKS


def test_a_process_that_fails_at_once_is_started_ever_later(made, world, capsys, monkeypatch):
    reload, path = made(plan(CARDS))
    now = [0.0]
    monkeypatch.setattr(module, "Backoff", lambda: Backoff(lambda: now[0]))
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    world["behind"] = {"other"}
    reload.look()
    started_s = []
    for second in range(2_000):
        now[0] = float(second)
        before = len(SideProcess.made)
        SideProcess.made[-1].running = False
        assert not reload.look()
        started_s += [second] * (len(SideProcess.made) - before)
    waits = [after - before for before, after in itertools.pairwise([0, *started_s])]
    # It is looked at once a second, and found ended at the second after its start.
    assert waits[:10] == [0, *(1 + 2**each for each in range(9))]
    assert waits[10:] == [1 + 300] * len(waits[10:]) != []
    assert capsys.readouterr().out.count("ended by itself") == len(started_s) + 1


def test_one_that_ran_well_is_started_again_at_once():
    now = [0.0]
    backoff = Backoff(lambda: now[0])
    for _ in range(5):
        backoff.started()
        backoff.ended()
    backoff.started()
    now[0] = 61.0
    assert (backoff.ended(), backoff.ended(), backoff.due) == (0.0, None, True)
    backoff.started()
    assert (backoff.ended(), backoff.due) == (1.0, False)


def test_a_newer_plan_does_not_wait_for_the_one_that_fails(made, world, monkeypatch):
    reload, path = made(plan(CARDS))
    monkeypatch.setattr(module, "Backoff", lambda: Backoff(lambda: 0.0))
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    world["behind"] = {"other", "third"}
    for _ in range(4):
        reload.look()
        SideProcess.made[-1].running = False
    assert [each.views for each in SideProcess.made] == [{"other"}] * 2  # the third one waits
    write_plan(plan(CARDS, THIRD, fingerprint="03" * 8), path)
    reload.look()
    assert SideProcess.made[-1].views == {"third"}


def test_at_the_start_views_that_are_behind_are_left_to_a_process_of_their_own(made, world):
    world["behind"] = {"other"}
    reload, _ = made(plan(CARDS, OTHER))
    assert reload.live.stream_views == (CARDS,)
    assert not reload.look()
    assert SideProcess.made[0].views == {"other"}


def test_at_the_start_nothing_is_left_out_where_nothing_is_ready(made, world):
    world["behind"] = {"card_activity", "other"}
    reload, _ = made(plan(CARDS, OTHER))
    assert reload.live.stream_views == (CARDS, OTHER)
    assert not reload.look()
    assert SideProcess.made == ()


CHANGED = make_view(WINDOWS, fingerprint="99" * 8)


class TestLeasedDefinitions:
    """Definitions that were replaced, while scorers still read them."""

    @pytest.fixture
    def switched(self, made, world):
        """A processor that has switched from the definition of cards to a changed one."""
        first = msgspec.structs.replace(plan(CARDS, OTHER), generation=1)
        newer = msgspec.structs.replace(plan(CHANGED, OTHER, fingerprint="02" * 8), generation=2)
        reload, path = made(first)
        self.lease(world, CARDS, OTHER)
        write_plan(newer, path)
        assert reload.look()
        reload.switch()
        return reload, path

    def lease(self, world, *views):
        store = world["store"]
        lease = Lease(store.now_ms() + 60_000, frozenset(map(progress_field, views)))
        store.write_hash(leases_key("shop"), {b"scorer": encode_lease(lease)})

    def publish(self, world, view):
        publication = encode_publication(Publication(view.fingerprint))
        world["store"].write_hash(publication_key("shop", view.name), {DEFINITION: publication})

    def test_what_is_leased_is_computed_beside_from_the_moment_the_new_one_is_published(self, switched, world):
        reload, _ = switched
        self.publish(world, CARDS)
        reload.look()
        assert SideProcess.made == ()
        self.publish(world, CHANGED)
        for _ in range(3):
            assert not reload.look()
        (kept,) = SideProcess.made
        assert (kept.views, kept.running, kept.publishes) == ({"card_activity"}, True, False)

    def test_it_ends_when_the_lease_does_and_begins_again_with_it(self, switched, world):
        reload, _ = switched
        self.publish(world, CHANGED)
        reload.look()
        world["store"].hashes.pop(leases_key("shop"))
        reload.look()
        assert [each.running for each in SideProcess.made] == [False]
        self.lease(world, CARDS)
        reload.look()
        assert [each.running for each in SideProcess.made] == [False, True]
        reload.end()
        assert [each.running for each in SideProcess.made] == [False, False]

    def test_one_that_ended_is_started_again(self, switched, world):
        reload, _ = switched
        self.publish(world, CHANGED)
        reload.look()
        SideProcess.made[0].running = False
        reload.look()
        assert [each.running for each in SideProcess.made] == [False, True]

    def test_a_processor_that_was_started_again_still_knows_it(self, switched, made, world):
        reload, path = switched
        reload.end()
        self.publish(world, CHANGED)
        again, _ = made(read_plan(path))
        again.look()
        assert (SideProcess.made[-1].views, SideProcess.made[-1].running) == ({"card_activity"}, True)

    def test_processes_that_compute_the_same_definitions_share_a_group_and_others_do_not(self, switched, made, world):
        reload, path = switched
        self.publish(world, CHANGED)
        reload.look()
        again, _ = made(read_plan(path))
        again.look()
        world["store"].write_hash(
            leases_key("shop"),
            {b"x": encode_lease(Lease(world["store"].now_ms() + 60_000, frozenset({progress_field(CHANGED)})))},
        )
        write_plan(msgspec.structs.replace(plan(THIRD, fingerprint="03" * 8), generation=3), path)
        assert again.look()
        again.switch()
        again.look()
        first, second, *_, third = SideProcess.made
        assert first.group == second.group != third.group
        assert "" not in {each.group for each in SideProcess.made}

    def test_plans_that_nobody_reads_are_not_kept(self, made, world):
        reload, path = made(plan(CARDS))
        for number in range(2, 6):
            write_plan(
                plan(make_view(WINDOWS, fingerprint=f"{number}{number}" * 8), fingerprint=f"0{number}" * 8), path
            )
            assert reload.look()
            reload.switch()
        assert [each.name for each in path.with_name("plan.kept").iterdir()] == ["05" * 8]


def test_a_plan_file_that_is_older_than_what_is_run_is_refused(made):
    """It was copied there; the definitions of before come back with a plan that is made anew."""
    reload, path = made(msgspec.structs.replace(plan(CARDS), generation=5))
    newer = msgspec.structs.replace(plan(OTHER, fingerprint="02" * 8), generation=6)
    write_plan(newer, path)
    assert reload.look()
    reload.switch()
    write_plan(msgspec.structs.replace(plan(CARDS), generation=5), path)
    assert not reload.look()
    assert (refused("01" * 8, "PlanError"), reload.live) == (1, newer)
    write_plan(msgspec.structs.replace(plan(CARDS), generation=7), path)
    assert reload.look()
    assert refused("01" * 8, "PlanError") == 0


def test_a_newer_generation_of_the_same_views_is_taken_without_a_switch(made):
    reload, path = made(plan(CARDS))
    write_plan(msgspec.structs.replace(plan(CARDS), generation=7), path)
    assert not reload.look()
    assert reload.generation() == 7


def test_a_refused_plan_is_told_by_a_metric_until_it_is_run(made, world):
    reload, path = made(plan(CARDS))
    write_plan(plan(CARDS, OTHER, fingerprint="02" * 8), path)
    world["failure"] = SettingsError("topic 'x' does not exist")
    reload.look()
    assert refused("02" * 8, "SettingsError") == 1
    world["failure"] = None
    while not reload.look():
        pass
    reload.switch()
    assert refused("02" * 8, "SettingsError") == 0
