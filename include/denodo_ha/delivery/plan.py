"""How the delivery plan is made: which channel each changed element takes, in which order, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from graphlib import CycleError, TopologicalSorter

from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.changes import ChangedElement, Changes
from denodo_ha.delivery.moments import Moments, budget, has_no_moment, same_in_every_hour
from denodo_ha.delivery.pieces import Channel, DeliveryPlan, Pending, Piece
from denodo_ha.durations import format_duration
from denodo_ha.jobs import Job, JobKey
from denodo_ha.reason import Reason
from denodo_ha.text import listed

__all__ = ["LARGEST_BATCH", "WHOLE_WINDOW", "DeliveryPlan", "Pending", "Piece", "plan_delivery"]

WHOLE_WINDOW = timedelta(minutes=5)
"""For how long no job may be due when the whole archive is imported, unless the caller says otherwise, and for how long
none of any number of jobs may be due that are imported together."""
LARGEST_BATCH = 64
"""How many jobs that fire sooner are imported together at most."""
FIRST_BATCH = 8
"""How many jobs the first import of all holds at most, however long they rest: it measures how long an import takes."""
HORIZON = timedelta(hours=24)
"""How far ahead it is looked for a moment of what this sync leaves pending."""
_CIRCLE = Reason(
    "circle", "it belongs to jobs that depend on each other in a circle", "remove one of these dependencies"
)
_DELIVER_NOW = "or send it by hand with 'Deliver now', which accepts that it may run once on the target"


def plan_delivery(
    changes: Changes,
    *,
    capabilities: Capabilities,
    rest: bool,
    cut_down: bool,
    jobs: Mapping[JobKey, Job],
    target: Collection[JobKey],
    secrets: Collection[JobKey],
    drafts: Collection[JobKey],
    now: datetime,
    zones: Sequence[tzinfo],
    until: datetime,
    deliver_now: bool = False,
    untranslatable: Collection[JobKey] = (),
    left_out: Mapping[JobKey, Reason] | None = None,
    overdue: Sequence[JobKey] = (),
    whole_window: timedelta = WHOLE_WINDOW,
) -> DeliveryPlan:
    """Decide how each changed element is delivered.

    What holds no job goes first, as an archive. A job is written over REST, disabled, if it has no secret, is no draft,
    its ids can be translated and its type is not known to suffer from it. All others are imported in cut-down archives,
    each at a moment in which none of its jobs fires on the target; or in the whole archive, where a cut-down one cannot
    be sent or would delete what it does not hold. Jobs follow those that they depend on.

    :param capabilities: what is known of the target's version.
    :param rest: the connection can write jobs over REST.
    :param cut_down: the transport can import a part of the archive.
    :param jobs: definitions of all jobs of the source that are in scope, as its REST interface gives them.
    :param target: the jobs that the target has.
    :param secrets: the jobs that hold encrypted values in the archive.
    :param drafts: the jobs that are drafts.
    :param now: the time on the target's clock.
    :param zones: the time zones that the target's clock may have.
    :param until: the sync waits for no moment after this; what has none before it is pending.
    :param deliver_now: a person accepts that jobs without a moment may run once on the target.
    :param untranslatable: jobs that refer to something that the target knows under no id.
    :param left_out: jobs that are not delivered, and why.
    :param overdue: jobs that earlier syncs have left pending, the oldest first: others do not take their moments.
    :param whole_window: for how long no job may be due when the whole archive is imported, at least.
    """
    planner = _Planner(changes, capabilities, jobs, target, now, zones, until, deliver_now, overdue)
    planner.leave_out(left_out or {})
    planner.choose_channels(
        rest, {"with secrets": secrets, "draft": drafts, "with an id without a name": untranslatable}
    )
    if planner.needs_import and (capabilities.import_replaces or not cut_down):
        why = "an import deletes what it does not hold" if cut_down else "this transport sends nothing less"
        return planner.whole(why, whole_window)
    return planner.by_pieces()


class _Planner:
    """One plan under construction.

    ``done`` are the changed jobs that some piece delivers, ``waiting`` those for which nothing is decided yet.
    """

    def __init__(
        self,
        changes: Changes,
        capabilities: Capabilities,
        jobs: Mapping[JobKey, Job],
        target: Collection[JobKey],
        now: datetime,
        zones: Sequence[tzinfo],
        until: datetime,
        deliver_now: bool,
        overdue: Sequence[JobKey],
    ) -> None:
        self.capabilities, self.jobs, self.target = capabilities, jobs, set(target)
        self.zones, self.now, self.until, self.deliver_now = zones, now, until, deliver_now
        self.budget = budget(capabilities.longest_import)
        self.may_fire = capabilities.past_start_fires is not False
        self.moments = self._moments(until, self.budget, WHOLE_WINDOW)
        self.cursor = self.moments.begin
        self.limit = 1
        self.largest = FIRST_BATCH if capabilities.longest_import is None else None
        self.others = [change for change in changes.items if change.key is None]
        self.changed = {change.key: change for change in changes.items if change.key is not None}
        self.rank = {key: number for number, key in enumerate(overdue)}
        self.depends_on = self._dependencies()
        self.waiting = dict.fromkeys(_dependencies_first(self.depends_on))
        self.done: set[JobKey] = set()
        self.imported: dict[JobKey, str] = {}  # why a job is not written over REST
        self.pieces: list[Piece] = []
        self.pending: dict[JobKey, Pending] = {}

    def _moments(self, until: datetime, window: timedelta, ahead: timedelta = timedelta()) -> Moments:
        return Moments(
            self.zones, now=self.now, budget=window, until=until, ahead=ahead, past_start_fires=self.may_fire
        )

    def _dependencies(self) -> dict[JobKey, set[JobKey]]:
        """Return for each changed job the changed jobs that it depends on."""
        by_id = {job.id: key for key, job in self.jobs.items()}
        found: dict[JobKey, set[JobKey]] = {}
        for key, change in self.changed.items():
            named = {JobKey(project=key.project, name=name) for name in change.element.dependencies}
            triggers = self.jobs[key].triggers if key in self.jobs else ()
            ids = {each for trigger in triggers if trigger.dependency for each in trigger.dependency.job_ids}
            named |= {by_id[each] for each in ids if each in by_id}
            found[key] = {other for other in named if other in self.changed and other != key}
        return found

    def leave_out(self, reasons: Mapping[JobKey, Reason]) -> None:
        for key in reasons.keys() & self.changed.keys():
            self._leave(key, reasons[key])

    def choose_channels(self, rest: bool, imported: Mapping[str, Collection[JobKey]]) -> None:
        sets = {why: set(keys) for why, keys in imported.items()}
        for key in self.waiting:
            why = next((why for why, keys in sets.items() if key in keys), None)
            if not rest:
                why = "this connection does not write jobs over REST"
            elif key not in self.jobs:
                why = "not in the source's list of jobs"
            elif why is None and self.jobs[key].type in self.capabilities.unfaithful:
                why = f"of the type {self.jobs[key].type}, which REST does not write faithfully"
            if why is not None:
                self.imported[key] = why

    @property
    def needs_import(self) -> bool:
        return bool(self.others or self.imported)

    def by_pieces(self) -> DeliveryPlan:
        self._add("resources", self.others, "holds no job, so nothing can fire")
        progress = True
        while progress:
            self._leave_out_what_waits_for_pending()
            progress = self._write_over_rest() or self._import_batch()
        return self._plan()

    def whole(self, why: str, window: timedelta) -> DeliveryPlan:
        window = max(self.budget, window)
        everything = list(self.jobs.values())
        moments = self._moments(self.until, window)
        moment = moments.next(everything)
        if moment is None and self.deliver_now:
            moment, why = moments.begin, f"{why}; sent now, so jobs may run once on the target"
        if moment is not None:
            elements = [*self.others, *(self.changed[key] for key in self.waiting)]
            self._add("whole", elements, why, sorted(self.jobs), moment)
            self.waiting.clear()
            return self._plan()
        needs = f"it needs an import of the whole archive ({why})"
        if later := self._later(everything, window):
            reason = _waits(f"{needs}, and jobs in it", later)
        else:
            in_the_way = [key for key in sorted(self.jobs) if moments.next([self.jobs[key]]) is None]
            who = f"; always in the way: {listed(in_the_way, 3)}" if in_the_way else ""
            reason = Reason(
                "no_moment",
                f"{needs}, and before {_clock(self.now + HORIZON)} there are no {format_duration(window)} in which "
                f"none of its {len(everything)} jobs fires on the target{who}",
                f"let these jobs rest for so long, {_DELIVER_NOW}",
            )
        for key in self.imported:
            self._leave(key, reason)
        self._leave_out_what_waits_for_pending()
        self._write_over_rest()
        return self._plan(Pending(change.element.identity, None, reason, False) for change in self.others)

    def _plan(self, others: Iterable[Pending] = ()) -> DeliveryPlan:
        for key in list(self.waiting):
            self._leave(key, _CIRCLE)
        pending = [self.pending[key] for key in sorted(self.pending)]
        return DeliveryPlan(tuple(self.pieces), (*others, *pending))

    def _add(
        self,
        channel: Channel,
        elements: Iterable[ChangedElement],
        why: str,
        jobs: Iterable[JobKey] = (),
        moment: datetime | None = None,
    ) -> None:
        """Add a piece, unless it is empty."""
        changes = list(elements)
        if not changes:
            return
        counts = Counter(change.why for change in changes)
        said = ", ".join(f"{number} {each}" for each, number in sorted(counts.items()))
        identities = tuple(change.element.identity for change in changes)
        self.pieces.append(Piece(channel, identities, tuple(jobs), f"{why} ({said})", moment))

    def _deliver(self, channel: Channel, keys: Sequence[JobKey], why: str, moment: datetime | None = None) -> None:
        self._add(channel, (self.changed[key] for key in keys), why, keys, moment)
        self.done |= set(keys)
        for key in keys:
            del self.waiting[key]

    def _leave(self, key: JobKey, reason: Reason) -> None:
        self.pending[key] = Pending(self.changed[key].element.identity, key, reason, key in self.target)
        del self.waiting[key]

    def _can_follow(self, key: JobKey, chosen: Collection[JobKey]) -> bool:
        """Whether all that a job depends on is on the target before it, or written together with it."""
        return all(
            other in self.done or other in chosen or (other in self.pending and other in self.target)
            for other in self.depends_on[key]
        )

    def _leave_out_what_waits_for_pending(self) -> None:
        for key in list(self.waiting):
            lacking = [other for other in self.depends_on[key] if other in self.pending and other not in self.target]
            if lacking:
                what = f"it depends on {min(lacking)}, which is pending and which the target lacks"
                self._leave(key, Reason("waits_for_pending", what, "it is delivered after that job"))

    def _write_over_rest(self) -> bool:
        """Write all jobs over REST that can be written now; the first of each type that is not proven in front."""
        chosen: dict[JobKey, None] = {}
        for key in self.waiting:
            if key not in self.imported and self._can_follow(key, chosen):
                chosen[key] = None
        first: dict[str, JobKey] = {}
        for key in chosen:
            if self.jobs[key].type not in self.capabilities.faithful:
                first.setdefault(self.jobs[key].type, key)
        in_front = set(first.values())
        for key in reversed(chosen):
            if key in in_front:
                in_front |= self.depends_on[key] & chosen.keys()
        order = sorted(chosen, key=lambda key: key not in in_front)
        self._deliver("rest", order, "without secrets, so written disabled, which can never fire")
        return bool(order)

    def _import_batch(self) -> bool:
        """Import the jobs that can be imported next; those that have no moment become pending."""
        fitting = list(self._fitting(sorted(self.waiting, key=lambda key: self.rank.get(key, len(self.rank)))))
        ready = [key for key in fitting if self._can_follow(key, ())]
        if not ready:
            return False
        overdue = ((key, moment) for key in ready if key in self.rank and (moment := self._moment(key)))
        oldest, kept = next(overdue, (None, None))
        end = self.cursor + max(self.budget, WHOLE_WINDOW)
        quiet = list(self._fitting(key for key in fitting if self._is_free(key, self.cursor, end)))
        spares = kept is None or oldest in quiet or self.cursor + self.budget <= kept
        if quiet and self.cursor < self.until and spares:
            self._import(quiet[: self.largest], self.cursor, f"and none of them fires before {_clock(end)}")
            return True
        moments = {key: self._moment(key) for key in ready}
        without = [key for key, moment in moments.items() if moment is None]
        if without:
            self._without_moment(without)
            return True
        moment = min(each for each in moments.values() if each)
        if kept and moment + self.budget > kept:
            moment = kept
        free = self._fitting(key for key in fitting if self._is_free(key, moment))
        self._import([key for key, _ in zip(free, range(self.limit), strict=False)], moment)
        self.limit = min(2 * self.limit, LARGEST_BATCH)
        return True

    def _fitting(self, keys: Iterable[JobKey]) -> Iterator[JobKey]:
        """Yield those that an import can bring after, or together with, what they depend on."""
        chosen: set[JobKey] = set()
        for key in keys:
            if key in self.imported and self._can_follow(key, chosen):
                chosen.add(key)
                yield key

    def _is_free(self, key: JobKey, moment: datetime, stop: datetime | None = None) -> bool:
        return key in self.jobs and self.moments.is_free(self.jobs[key], moment, stop)

    def _moment(self, key: JobKey) -> datetime | None:
        return self.moments.next([self.jobs[key]], self.cursor) if key in self.jobs else None

    def _import(self, keys: Sequence[JobKey], moment: datetime, told: str = "") -> None:
        reasons = ", ".join(f"{number} {why}" for why, number in sorted(Counter(map(self.imported.get, keys)).items()))
        self._deliver("archive", keys, f"{reasons}{' ' if told else ''}{told}", moment)
        self.cursor = moment + self.budget
        self.largest = None

    def _without_moment(self, keys: Sequence[JobKey]) -> None:
        if self.deliver_now:
            self._import(keys, self.cursor, "sent now although they may run once on the target")
            return
        for key in keys:
            self._leave(key, self._why_restless(key))

    def _later(self, jobs: Sequence[Job], window: timedelta) -> datetime | None:
        """Return the first moment of these jobs, whether or not this sync waits for it."""
        crons = [trigger.cron for job in jobs for trigger in job.triggers if trigger.cron]
        horizon = timedelta(hours=1) if all(map(same_in_every_hour, crons)) else HORIZON
        return self._moments(self.now + horizon, window).next(jobs)

    def _why_never(self, job: Job | None) -> str | None:
        """Why no moment is safe for the job."""
        if job is None:
            return "the source does not list it"
        return has_no_moment(job, self.now, past_start_fires=self.may_fire)

    def _why_restless(self, key: JobKey) -> Reason:
        length, job = format_duration(self.budget), self.jobs.get(key)
        if job and self.moments.next([job]):
            return Reason(
                "deferred", f"its moments before {_clock(self.until)} went to other jobs", "the next sync delivers it"
            )
        what = f"it has to be imported, which enables it ({self.imported[key]}), and"
        if job and (later := self._later([job], self.budget)):
            return _waits(what, later)
        why = self._why_never(job)
        if why:
            next_step = "change that on the source"
        else:
            end = _clock(self.now + HORIZON)
            why = f"before {end} there are no {length} in which it is certain not to fire on the target"
            next_step = f"let it rest for {length} now and then"
        return Reason("restless", f"{what} {why}", f"{next_step}, {_DELIVER_NOW}")


def _waits(what: str, moment: datetime) -> Reason:
    return Reason(
        "waits_for_moment",
        f"{what} may fire on the target before {_clock(moment)}",
        f"a later sync delivers it then, {_DELIVER_NOW}",
    )


def _dependencies_first(depends_on: Mapping[JobKey, Collection[JobKey]]) -> list[JobKey]:
    """Return the jobs in an order in which each follows what it depends on, those of a circle last."""
    sorter = TopologicalSorter(depends_on)
    order: list[JobKey] = []
    with suppress(CycleError):  # it still gives all jobs that no circle keeps back
        sorter.prepare()
    while ready := sorter.get_ready():
        order += sorted(ready)
        sorter.done(*ready)
    return order + sorted(depends_on.keys() - set(order))


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M UTC}"
