"""The delivery plan: what is sent when, over which channel, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.changes import ChangedElement, Changes
from denodo_ha.delivery.moments import budget, possible_zones
from denodo_ha.delivery.plan import FIRST_BATCH, LARGEST_BATCH, DeliveryPlan, Piece, plan_delivery
from denodo_ha.jobs import DependencyInfo, Job, JobKey, Trigger
from denodo_ha.quartz.cron import QuartzCron
from denodo_ha.snapshot.contents import Element, Identity

NOW = datetime(2026, 11, 28, 9, 3, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
UNTIL = NOW + HOUR
TEN = timedelta(seconds=10)
MADRID, NEW_YORK = ZoneInfo("Europe/Madrid"), ZoneInfo("America/New_York")
NIGHTLY, MINUTELY, EVERY_9_S = "0 30 3 * * ?", "0 * * * * ?", "0/9 * * * * ?"


@dataclass
class World:
    """Jobs of a source, and what of them is to be delivered; by default all of them, to an empty target."""

    jobs: dict[JobKey, Job] = field(default_factory=dict)
    items: list[ChangedElement] = field(default_factory=list)
    sets: dict[str, set[JobKey]] = field(
        default_factory=lambda: {name: set() for name in ("target", "secrets", "drafts", "untranslatable")}
    )

    def add(
        self,
        name: str,
        *crons: str,
        after: Iterable[str] = (),
        why: str | None = "new",
        type: str = "VDP",
        start_time: str | None = None,
        **marks: bool,
    ) -> JobKey:
        key = JobKey(project="P", name=name)
        info = DependencyInfo(job_ids=tuple(self.jobs[JobKey(project="P", name=each)].id for each in after))
        triggers = [Trigger(cron=cron, start_time=start_time) for cron in crons]
        triggers += [Trigger(cron=None, dependency=info)] if after else []
        number = len(self.jobs) + 100
        self.jobs[key] = Job(
            id=number, name=name, type=type, project_id=1, project="P", triggers=tuple(triggers), definition={}
        )
        if why:
            self.items.append(ChangedElement(element("job", name, tuple(after)), why))
        for mark, said in marks.items():
            if said:
                self.sets[mark].add(key)
        return key

    def add_source(self, name: str, why: str = "changed") -> Identity:
        self.items.append(ChangedElement(element("dataSource", name), why))
        return self.items[-1].element.identity

    def plan(self, capabilities: Capabilities | None = None, **options: Any) -> DeliveryPlan:
        given = {"rest": True, "cut_down": True, "now": NOW, "zones": (UTC,), "until": UNTIL, **self.sets, **options}
        return plan_delivery(
            Changes(tuple(self.items)), capabilities=capabilities or Capabilities(), jobs=self.jobs, **given
        )


def element(kind: str, name: str, dependencies: tuple[str, ...] = ()) -> Element:
    return Element(kind=kind, project="P", name=name, hash="h", dependencies=dependencies, entry=f"{kind}/{name}")


def fires(job: Job, zones: Iterable[tzinfo], moment: datetime, length: timedelta) -> bool:
    crons = [QuartzCron(trigger.cron) for trigger in job.triggers if trigger.cron]
    firings = (cron.next_after(moment - timedelta.resolution, zone) for cron in crons for zone in zones)
    return any(firing is not None and firing < moment + length for firing in firings)


def shape(plan: DeliveryPlan) -> list[tuple[str, list[str]]]:
    return [
        (piece.channel, [key.name for key in piece.jobs] or [name for *_, name in piece.elements])
        for piece in plan.pieces
    ]


def left(plan: DeliveryPlan) -> dict[str, str]:
    return {str(each.key.name if each.key else each.element[2]): each.reason.code for each in plan.pending}


# --- which channel


def test_nothing_to_deliver() -> None:
    plan = World().plan()
    assert (plan.pieces, plan.pending, bool(plan), plan.waits, plan.first_moment) == ((), (), False, False, None)
    assert plan.text() == "Nothing to deliver."


def test_each_kind_of_change_takes_its_channel() -> None:
    world = World()
    world.add("restless unchanged", EVERY_9_S, why=None)
    world.add("plain", EVERY_9_S)
    world.add("locked", NIGHTLY, secrets=True)
    world.add("draft", drafts=True, target=True, why="changed")
    world.add("lossy", NIGHTLY, type="VDPCache")
    world.add("odd", NIGHTLY, untranslatable=True)
    world.add_source("vdp")
    plan = world.plan(Capabilities(unfaithful=("VDPCache",)))
    assert shape(plan) == [
        ("resources", ["vdp"]),
        ("rest", ["plain"]),
        ("archive", ["draft", "locked", "lossy", "odd"]),
    ]
    assert [piece.moment for piece in plan.pieces] == [None, None, NOW]
    assert plan.pending == ()
    assert plan.text().splitlines() == [
        "1. archive without jobs, at once: 1 element (dataSource p / vdp); holds no job, so nothing can fire "
        "(1 changed)",
        "2. REST, born disabled, at once: 1 job (P / plain); without secrets, so written disabled, which "
        "can never fire (1 new)",
        "3. archive of these jobs, at 2026-11-28 09:03:07 UTC: 4 jobs (P / draft, P / locked, P / lossy "
        "and 1 more); 1 draft, 1 of the type VDPCache, which REST does not write faithfully, 1 with an id without a "
        "name, 1 with secrets and none of them fires before 2026-11-28 09:08 UTC (1 changed, 3 new)",
    ]
    assert "at 2026-11-28 10:03:07 CET" in plan.text(MADRID)


def test_without_rest_all_jobs_are_imported() -> None:
    world = World()
    world.add("a", NIGHTLY)
    assert shape(world.plan(rest=False)) == [("archive", ["a"])]


@pytest.mark.parametrize(
    ("capabilities", "cut_down"), [(Capabilities(import_replaces=True), True), (Capabilities(), False)]
)
def test_where_a_part_cannot_be_imported_everything_is_or_nothing(capabilities: Capabilities, cut_down: bool) -> None:
    world = World()
    world.add("plain", NIGHTLY)
    assert shape(world.plan(capabilities, cut_down=cut_down)) == [("rest", ["plain"])]
    world.add_source("vdp")
    world.add("unchanged", "30 7 9 * * ?", why=None)
    (piece,) = world.plan(capabilities, cut_down=cut_down).pieces
    assert (piece.channel, len(piece.elements), [key.name for key in piece.jobs]) == (
        "whole",
        2,
        ["plain", "unchanged"],
    )
    assert piece.moment == NOW.replace(minute=7, second=31), "five minutes without any job, changed or not"


def test_the_whole_archive_without_a_moment_leaves_what_rest_can_write() -> None:
    world = World()
    world.add("plain", NIGHTLY)
    world.add("locked", NIGHTLY, secrets=True, target=True)
    world.add("after locked", after=["locked"])
    world.add("new", NIGHTLY, secrets=True)
    world.add("after new", after=["new"])
    world.add("unchanged", MINUTELY, why=None)
    world.add_source("vdp")
    plan = world.plan(cut_down=False)
    assert shape(plan) == [("rest", ["plain", "after locked"])]
    assert left(plan) == {
        "vdp": "no_moment",
        "locked": "no_moment",
        "new": "no_moment",
        "after new": "waits_for_pending",
    }
    assert "always in the way: P / unchanged" in plan.pending[0].reason.what
    (whole,) = world.plan(cut_down=False, deliver_now=True).pieces
    assert (whole.channel, whole.moment) == ("whole", NOW)
    assert "jobs may run once on the target" in whole.why


# --- in which order


def test_the_first_of_each_unproven_type_stands_in_front_behind_what_it_depends_on() -> None:
    world = World()
    for name in ("a", "b"):
        world.add(name, NIGHTLY)
    world.add("y", NIGHTLY, type="VDPIndexer")
    world.add("x", type="VDPCache", after=["b"])
    world.add("z", NIGHTLY, type="VDPCache", after=["y"])
    assert shape(world.plan(Capabilities(faithful=("VDP",)))) == [("rest", ["b", "y", "x", "a", "z"])]


def test_a_job_follows_the_imported_job_that_it_depends_on() -> None:
    world = World()
    world.add("locked", NIGHTLY, secrets=True)
    world.add("plain", after=["locked"])
    world.add("locked too", after=["plain"], secrets=True)
    world.add("free", NIGHTLY)
    assert shape(world.plan()) == [
        ("rest", ["free"]),
        ("archive", ["locked"]),
        ("rest", ["plain"]),
        ("archive", ["locked too"]),
    ]


def test_jobs_that_depend_on_each_other_in_a_circle_are_named() -> None:
    world = World()
    world.add("a", NIGHTLY)
    world.add("b", after=["a"])
    world.items[0] = ChangedElement(element("job", "a", ("b",)), "new")
    world.add("c", NIGHTLY)
    plan = world.plan()
    assert (shape(plan), left(plan)) == ([("rest", ["c"])], {"a": "circle", "b": "circle"})


# --- when


def test_small_batches_first_each_after_the_one_before() -> None:
    world = World()
    for number in range(200):
        world.add(f"{number:03}", "0 0/5 * * * ?", secrets=True)
    plan = world.plan()
    assert [len(piece.jobs) for piece in plan.pieces] == [1, 2, 4, 8, 16, 32, LARGEST_BATCH, LARGEST_BATCH, 9]
    moments = [piece.moment for piece in plan.pieces if piece.moment]
    assert moments == [NOW + number * TEN for number in range(9)]


def test_jobs_that_do_not_fire_soon_go_together_and_first() -> None:
    world = World()
    for number in range(200):
        world.add(f"{number:03}", NIGHTLY, secrets=True)
    world.add("every minute", MINUTELY, secrets=True)
    plan = world.plan(Capabilities(longest_import=0.5))
    assert [len(piece.jobs) for piece in plan.pieces] == [200, 1]
    assert [piece.moment for piece in plan.pieces] == [NOW, NOW + TEN]


def test_the_first_import_of_all_is_small_and_measures() -> None:
    world = World()
    for number in range(200):
        world.add(f"{number:03}", NIGHTLY, secrets=True)
    plan = world.plan()
    assert [len(piece.jobs) for piece in plan.pieces] == [FIRST_BATCH, 200 - FIRST_BATCH]
    assert [piece.moment for piece in plan.pieces] == [NOW, NOW + TEN]


def test_a_job_waits_for_its_own_moment_not_for_that_of_others() -> None:
    world = World()
    world.add("every minute", MINUTELY, secrets=True)
    world.add("busy but not delivered", EVERY_9_S, why=None)
    plan = world.plan(now=NOW.replace(second=53))
    assert plan.waits
    assert plan.first_moment == NOW.replace(minute=4, second=1)


def test_the_budget_is_that_of_the_longest_import() -> None:
    world = World()
    world.add("every minute", MINUTELY, secrets=True)
    plan = world.plan(Capabilities(longest_import=18.0))
    assert plan.first_moment == NOW.replace(minute=4, second=1), "54 s free"
    assert left(world.plan(Capabilities(longest_import=20.0))) == {"every minute": "restless"}


def test_in_an_unknown_zone_a_daily_job_has_a_moment() -> None:
    world = World()
    world.add("nightly", NIGHTLY, secrets=True)
    now = NOW.replace(minute=14, second=55)
    assert world.plan(now=now, zones=possible_zones(None, None)).first_moment == NOW.replace(minute=15, second=1)


def test_a_job_that_is_due_then_joins_no_batch() -> None:
    world = World()
    for name, cron in (("a", "30 * * * * ?"), ("b", "0 * * * * ?"), ("c", "20 * * * * ?")):
        world.add(name, cron, secrets=True)
    plan = world.plan()
    assert shape(plan) == [("archive", ["a"]), ("archive", ["b"]), ("archive", ["c"])]
    assert [piece.moment for piece in plan.pieces] == [NOW, NOW + TEN, NOW + 2 * TEN]


def test_a_job_whose_trigger_starts_soon_goes_before_or_not_at_all() -> None:
    world = World()
    world.add("starts soon", NIGHTLY, secrets=True, start_time="2026-11-28T09:03:20Z")
    assert world.plan().first_moment == NOW
    assert left(world.plan(now=NOW + timedelta(seconds=4))) == {"starts soon": "restless"}


# --- who waits for whom


BURSTS = "*/10 3-33,37-59 * * * ?"
"""It rests from minute 34 to 36."""


def test_the_oldest_pending_job_is_waited_for_whatever_can_be_sent_at_once() -> None:
    world = World()
    world.add("edited", NIGHTLY)
    older, newer = world.add("older", BURSTS, secrets=True), world.add("newer", MINUTELY, secrets=True)
    plan = world.plan(overdue=[older, newer])
    assert (plan.waits, plan.wait_for(())) == (False, None)
    assert plan.wait_for([older]) == plan.wait_for([older, newer]) == NOW.replace(minute=33, second=51)
    assert plan.wait_for([JobKey(project="P", name="gone"), newer]) == NOW


def test_others_do_not_take_the_moment_of_the_oldest_pending_job() -> None:
    """It is free for ten seconds at a time, in which one import has room."""
    world = World()
    oldest = world.add("z", "0/12 * * * * ?", secrets=True)
    for name, cron in {"quiet": NIGHTLY, "every minute": MINUTELY, "now and then": "30 0/2 * * * ?"}.items():
        world.add(name, cron, secrets=True)
    for begins in range(0, 60, 7):
        now = NOW + timedelta(seconds=begins)
        given: dict[str, Any] = {"now": now, "until": now + timedelta(minutes=1)}
        alone = World({oldest: world.jobs[oldest]}, world.items[:1], world.sets).plan(**given)
        plan = world.plan(overdue=[oldest], **given)
        assert alone.first_moment
        assert [piece.moment for piece in plan.pieces if oldest in piece.jobs] == [alone.first_moment]


def bursts(minute: int, length: int) -> str:
    """A cron that fires every minute but for some minutes of each hour."""
    return f"0 0-{minute - 1},{minute + length}-59 * * * ?"


GAPS = st.builds(bursts, st.integers(4, 48), st.integers(1, 4))


def synced(world: World, overdue: list[JobKey], now: datetime) -> list[JobKey]:
    """What is pending after a sync, the oldest first; all else was delivered."""
    slow = Capabilities(longest_import=20.0)  # so that a minute without a firing is needed
    plan = world.plan(slow, overdue=overdue, now=now, until=now + timedelta(minutes=50))
    moment = plan.wait_for(overdue)
    at = max(now, moment - timedelta(seconds=30)) if moment else now
    left = {each.key for each in world.plan(slow, overdue=overdue, now=at, until=at + timedelta(minutes=1)).pending}
    world.items = [change for change in world.items if change.key in left]
    return sorted((key for key in left if key), key=lambda key: ([*overdue, key].index(key), key))


@settings(max_examples=20, deadline=None)
@given(first=st.lists(GAPS, min_size=1, max_size=3), later=st.lists(GAPS, min_size=5, max_size=5))
def test_on_a_source_that_is_edited_all_the_time_each_job_is_delivered_in_its_turn(
    first: list[str], later: list[str]
) -> None:
    """Each run has something else that can be sent at once, and a new job that waits; the first one is as old."""
    world = World()
    old = {world.add(f"old {number}", cron, secrets=True) for number, cron in enumerate(first)}
    overdue: list[JobKey] = []
    for number, cron in enumerate(later[: len(first) + 2]):
        world.add(f"edited {number}", EVERY_9_S)
        world.add(f"a quiet one {number}", NIGHTLY, secrets=True)
        world.add(f"another {number}", cron, secrets=True)
        overdue = synced(world, overdue, NOW + number * HOUR)
    assert not old.intersection(overdue)


# --- restless jobs


def test_a_restless_job_is_pending_and_named_and_one_on_the_target_is_outdated() -> None:
    world = World()
    world.add("old", EVERY_9_S, secrets=True, target=True)
    world.add("new", NIGHTLY, secrets=True, start_time="2026-01-01T00:00:00Z")
    world.add("plain", EVERY_9_S)
    plan = world.plan()
    assert (shape(plan), left(plan)) == ([("rest", ["plain"])], {"new": "restless", "old": "restless"})
    by_hand = "or send it by hand with 'Deliver now', which accepts that it may run once on the target."
    assert [str(each) for each in plan.pending] == [
        "P / new (missing on the target): [restless] it has to be imported, which enables it (with secrets), and a "
        "trigger has a start time in the past, so it may fire as soon as it is created. Next: change that on the "
        f"source, {by_hand}",
        "P / old (outdated on the target): [restless] it has to be imported, which enables it (with secrets), and "
        "before 2026-11-29 09:03 UTC there are no 10s in which it is certain not to fire on the target. Next: let it "
        f"rest for 10s now and then, {by_hand}",
    ]
    assert "pending, restless: 2 elements (P / new, P / old): it has to be imported" in plan.text()


def test_what_depends_on_a_restless_job_waits_only_where_the_target_lacks_it() -> None:
    world = World()
    world.add("old", EVERY_9_S, secrets=True, target=True)
    world.add("new", EVERY_9_S, secrets=True)
    world.add("after old", after=["old"])
    world.add("after new", after=["new"])
    plan = world.plan()
    assert shape(plan) == [("rest", ["after old"])]
    assert left(plan) == {"old": "restless", "new": "restless", "after new": "waits_for_pending"}


def test_a_person_can_send_them_now() -> None:
    world = World()
    world.add("restless", EVERY_9_S, secrets=True)
    world.add("after it", after=["restless"])
    plan = world.plan(deliver_now=True)
    assert (shape(plan), plan.pending) == ([("archive", ["restless"]), ("rest", ["after it"])], ())
    assert plan.pieces[0].moment == NOW
    assert "they may run once on the target" in plan.pieces[0].why


def test_a_job_whose_moments_went_to_others_is_deferred() -> None:
    world = World()
    for name in ("a", "b"):
        world.add(name, "0 5 9 * * ?", secrets=True)
    plan = world.plan(Capabilities(longest_import=100.0), until=NOW + timedelta(minutes=4))
    assert (shape(plan), left(plan)) == ([("archive", ["a"])], {"b": "deferred"})


def test_a_job_that_the_source_does_not_list_is_pending() -> None:
    world = World()
    world.items.append(ChangedElement(element("job", "spelt otherwise"), "new"))
    plan = world.plan()
    assert (shape(plan), left(plan)) == ([], {"spelt otherwise": "restless"})
    assert "the source does not list it" in plan.pending[0].reason.what


# --- whatever the world


CRONS = st.sampled_from(
    [
        NIGHTLY,
        MINUTELY,
        EVERY_9_S,
        "* * * * * ?",
        "20 * * * * ?",
        "35 * * * * ?",
        "12/30 * * * * ?",
        "50 0/5 * * * ?",
        "12 4 9 * * ?",
        "10 4 0-23/2 ? * MON-FRI",
    ]
)
STARTS = st.sampled_from([None, None, None, "2026-11-28T09:03:20Z", "2020-01-01T00:00:00", "soon"])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    odds = draw(st.sampled_from([1, 3]))  # of a world in which all is imported
    for number in range(draw(st.integers(0, 2))):
        world.add_source(f"source {number}")
    for number in range(draw(st.integers(0, 9))):
        world.add(
            f"job {number}",
            *draw(st.lists(CRONS, max_size=2)),
            after=draw(st.sets(st.sampled_from([f"job {each}" for each in range(number)] or [""]), max_size=2)) - {""},
            why=draw(st.sampled_from(["new", "changed", "secrets", None])),
            type=draw(st.sampled_from(["VDP", "VDPCache", "VDPIndexer"])),
            start_time=draw(STARTS),
            target=draw(st.booleans()),
            secrets=draw(st.integers(1, odds)) == 1,
            **{mark: draw(st.integers(0, 3)) == 0 for mark in ("drafts", "untranslatable")},
        )
    return world


CAPABILITIES = st.builds(
    Capabilities,
    import_replaces=st.sampled_from([None, None, False, True]),
    faithful=st.sampled_from([(), ("VDP",)]),
    unfaithful=st.sampled_from([(), ("VDPCache",)]),
    longest_import=st.sampled_from([None, 0.5, 7.0, 25.0]),
)


@settings(max_examples=250)
@given(
    world=worlds(),
    capabilities=CAPABILITIES,
    rest=st.sampled_from([True, True, False]),
    cut_down=st.sampled_from([True, True, False]),
    zones=st.sampled_from([(UTC,), (MADRID, NEW_YORK), possible_zones(None, None)]),
    seconds=st.integers(0, 120),
    deliver_now=st.sampled_from([False, False, True]),
)
def test_every_plan_is_whole_in_order_and_safe(
    world: World,
    capabilities: Capabilities,
    rest: bool,
    cut_down: bool,
    zones: tuple[tzinfo, ...],
    seconds: int,
    deliver_now: bool,
) -> None:
    now = NOW + timedelta(seconds=seconds)
    until = now + timedelta(minutes=4)
    plan = world.plan(
        capabilities, rest=rest, cut_down=cut_down, zones=zones, now=now, until=until, deliver_now=deliver_now
    )
    assert DeliveryPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.text(MADRID)
    sent = [identity for piece in plan.pieces for identity in piece.elements]
    assert sorted([*sent, *(each.element for each in plan.pending)]) == sorted(
        change.element.identity for change in world.items
    )
    for piece in plan.pieces:
        assert_safe(piece, world, capabilities, zones, now, until, deliver_now)
    assert_dependencies_first(plan, world)
    imports = {piece.channel for piece in plan.pieces} - {"rest"}
    if capabilities.import_replaces or not cut_down:
        assert imports <= {"whole"}
    else:
        assert "whole" not in imports
    if deliver_now:
        assert plan.pending == ()


def assert_safe(
    piece: Piece,
    world: World,
    capabilities: Capabilities,
    zones: tuple[tzinfo, ...],
    now: datetime,
    until: datetime,
    deliver_now: bool,
) -> None:
    """What is born disabled has no secret and so on; nothing that is imported fires on the target's clock."""
    if piece.channel == "resources":
        assert piece.jobs == ()
        assert all(kind != "job" for kind, *_ in piece.elements)
        return
    assert len(piece.jobs) == len(set(piece.jobs))
    if piece.channel == "rest":
        assert piece.moment is None
        sets = world.sets
        assert not set(piece.jobs) & (sets["secrets"] | sets["drafts"] | sets["untranslatable"])
        assert not {world.jobs[key].type for key in piece.jobs} & set(capabilities.unfaithful)
        return
    if piece.channel == "whole":
        assert set(piece.jobs) == set(world.jobs)
    assert piece.moment is not None
    if deliver_now and "may run once" in piece.why:
        return
    assert now <= piece.moment < until
    length = max(budget(capabilities.longest_import), timedelta(minutes=5 if piece.channel == "whole" else 0))
    for key in piece.jobs:
        starts = [trigger.start_time for trigger in world.jobs[key].triggers]
        assert "soon" not in starts
        assert "2020-01-01T00:00:00" not in starts
        assert "2026-11-28T09:03:20Z" not in starts or piece.moment + length <= datetime(
            2026, 11, 28, 9, 3, 20, tzinfo=UTC
        )
        assert not fires(world.jobs[key], zones, piece.moment, length)


def assert_dependencies_first(plan: DeliveryPlan, world: World) -> None:
    """In the order of sending, a job follows each changed job that it depends on."""
    place = {key: (at, position) for at, piece in enumerate(plan.pieces) for position, key in enumerate(piece.jobs)}
    older = {each.key for each in plan.pending if each.on_target}
    whole = {at for at, piece in enumerate(plan.pieces) if piece.channel == "whole"}
    changed = {change.key for change in world.items}
    for change in world.items:
        if change.key not in place or place[change.key][0] in whole:
            continue
        for name in change.element.dependencies:
            other = JobKey(project="P", name=name)
            assert other not in changed or other in older or place[other] < place[change.key]
    moments = [piece.moment for piece in plan.pieces if piece.moment]
    assert moments == sorted(moments)
