"""What a doctor does in its scratch projects, one question after the other.

What one question needs that cannot be had leaves that question without an answer; the others are tried all the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from denodo_ha.definitions import Fields, Names, differing, fields
from denodo_ha.delivery.capabilities import Capabilities
from denodo_ha.delivery.definition import UntranslatableError, for_target
from denodo_ha.delivery.moments import budget, next_moment, possible_zones, zones_of_offsets
from denodo_ha.doctor.questions import BEGAN, IN_SUMMER, NEVER, PAST, QUESTIONS, Content, offsets_of
from denodo_ha.doctor.scratch import is_scratch
from denodo_ha.jobs import Job, JobKey, JobState, JobStatus
from denodo_ha.preconditions import looks_paused
from denodo_ha.readiness.facts import Unread, known
from denodo_ha.record import Role
from denodo_ha.server.options import IMPORT_OPTIONS
from denodo_ha.snapshot.archive import ArchiveContents, ArchiveError, cut_archive
from denodo_ha.snapshot.contents import Element
from denodo_scheduler.exceptions import DenodoSchedulerError, NoAnswerError, UnreachableError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook, Statuses
from denodo_scheduler.state.files import new_file
from denodo_scheduler.steps.claim import DoctorClaim
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.doctor.look import unasked_in
from denodo_scheduler.steps.doctor.woken import Ignored, let_rest, resting_now
from denodo_scheduler.steps.facts import exported, unread
from denodo_scheduler.steps.outcome import NotYet
from denodo_scheduler.steps.passive import AtRest, hold
from denodo_scheduler.steps.servers import data_sources
from denodo_scheduler.steps.sync.send import refused

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOKS, PAUSE = 4, 1.0
"""How often it is looked whether a job has fired, and how many seconds lie between two looks."""
PATIENCE = timedelta(seconds=60)
"""How long it is waited for a moment in which an import can wake no job of the pair."""
_DESCRIPTION = "Made by the doctor of the Denodo HA pair to try something out; deleted at its end."
_CHANGED = "changed"
_OTHERS = "nothing has to be done: syncs find out by themselves how to write it"
_MOST_COPIES = 3
"""How many jobs of a type are refused before it is the type that is refused."""


@dataclass
class Trial:
    """One try.

    :param claim: the right to change the scratch projects. :param role: the passive server.
    :param known: what is known of its version so far. :param before: its jobs before anything was made.
    :param seen: what was seen of each question, or why nothing could be. :param types: of each type of job.
    """

    context: PairContext
    claim: DoctorClaim
    role: Role
    known: Capabilities
    before: Statuses
    seen: dict[str, Any] = field(default_factory=dict)
    types: dict[str, Content | Unread] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)
    _copies: dict[str, str] = field(default_factory=dict)
    _sent: dict[str, Fields] = field(default_factory=dict)
    _noise: set[str] = field(default_factory=set)
    _names: Names = field(default_factory=lambda: Names({}))

    @property
    def _hook(self) -> DenodoSchedulerHook:
        return self.context.servers.hook(self.role)

    @property
    def _projects(self) -> tuple[str, ...]:
        scratch = self.claim.check().scratch
        assert scratch is not None
        return scratch.projects

    def run(self) -> None:
        """Try everything out.

        :raises UnreachableError: the server cannot be reached any more.
        :raises NotYet: another operation has begun, or an import was not answered.
        """
        one, other = self._projects
        for name in (one, other):
            self.claim.check()
            self._ids[name] = self._hook.create_project(name, _DESCRIPTION).id
        there = self._hook.jobs()
        self._names = Names.of(there, data_sources(self._hook, self.role) or ())
        self._try(("born disabled", "put"), partial(self._born, one, other))
        self._write_types(one, there)
        self._try(("bulk", "time zone", "past start, enabled"), partial(self._enable, one))
        imports = [code for code in QUESTIONS if "import" in code]
        self._try(imports, partial(self._import, one, other, there))

    def _try(self, questions: Iterable[str], function: Callable[[], Mapping[str, Any]]) -> None:
        """Ask some questions; where one cannot be asked, say why, and go on."""
        self.claim.check()
        try:
            self.seen |= function()
        except UnreachableError:
            raise
        except (DenodoSchedulerError, ArchiveError, LookupError, ValueError) as error:
            log.warning("Could not be tried: %s: %s", type(error).__name__, error)
            self.seen |= {question: unread(error) for question in questions if question not in self.seen}

    # -- over REST

    def _born(self, one: str, other: str) -> dict[str, Any]:
        """Make the jobs that do nothing, and read them back."""
        wanted = {"never": NEVER, "summer": IN_SUMMER, "victim": NEVER, "kept": NEVER}
        triggers: dict[str, dict[str, Any]] = {name: {"cronExpression": cron} for name, cron in wanted.items()}
        triggers["past"] = {"cronExpression": PAST, "startTime": BEGAN}
        for name, trigger in triggers.items():
            self._make(one, name, trigger)
        self._make(other, "elsewhere", {"cronExpression": NEVER})
        made = self._read(one)
        self._noise |= set().union(*(self._apart(job, made[name]) for name, job in self._read(one).items()))
        states = self._states(one)
        born = not any(map(_is_enabled, made.values(), map(states.__getitem__, made)))
        self.seen["born disabled"] = born
        return {"put": self._put(one, made["victim"])}

    def _make(self, project: str, name: str, trigger: Mapping[str, Any]) -> None:
        """Make a job that does nothing; with a query where the server insists that it has a data source."""
        sources = sorted(self._names.data_sources)[:1]
        extractions = [{}, *({"dataSourceID": each, "parameterizedQuery": "SELECT 1"} for each in sources)]
        for last, extraction in zip((*[False] * len(sources), True), extractions, strict=True):
            definition = {
                "type": "VDP",
                "name": name,
                "description": _DESCRIPTION,
                "disabled": True,
                "extractionSection": extraction,
                "exportationSection": {"exporters": []},
                "handlerSection": {},
                "triggerSection": {"triggers": [{"type": "cron", **trigger}]},
            }
            try:
                self._hook.create_job(self._ids[project], definition)
            except (UnreachableError, NoAnswerError):
                raise
            except DenodoSchedulerError as error:
                if last or error.status not in (400, 500):
                    raise
            else:
                return

    def _write_types(self, project: str, there: Sequence[Job]) -> None:
        """Write a disabled copy of a job of each type that the server has, due in 2099 only, and change it by a PUT."""
        of_type: dict[str, list[Job]] = {}
        for job in there:
            if not is_scratch(job.project) and job.definition.get("draft") is not True:
                of_type.setdefault(job.type, []).append(job)
        for kind in sorted(of_type):
            self.claim.check()
            self._copies[kind] = f"copy {kind}"
            try:
                self.types[kind] = self._written(project, kind, of_type[kind], there)
            except UnreachableError:
                raise
            except (DenodoSchedulerError, LookupError) as error:
                self.types[kind] = unread(error)

    def _written(self, project: str, kind: str, jobs: Sequence[Job], there: Sequence[Job]) -> Content | Unread:
        name = self._copies[kind]
        lacking: Content | Unread = Unread("each has an id whose meaning is not known, so none was sent", _OTHERS)
        ids = {job.key: job.id for job in there}, {key: each for each, key in self._names.data_sources.items()}
        for job in jobs[:_MOST_COPIES]:
            try:
                definition = for_target(job, self._names, *ids)
            except UntranslatableError:
                continue
            triggers = {"triggerSection": {"triggers": [{"type": "cron", "cronExpression": NEVER}]}}
            definition |= {"name": name, **triggers}
            try:
                self._hook.create_job(self._ids[project], definition)
                break
            except DenodoSchedulerError as error:
                if error.status not in (400, 405, 500):
                    raise
                lacking = Content(refused=error.server_message or str(error))
        else:
            return lacking
        read = self._read(project)[name]
        content = Content(
            disabled=not _is_enabled(read, self._states(project)[name]), lost=self._lost(read, definition)
        )
        put = self._put(project, read)
        self._sent[kind] = self._fields(self._read(project)[name])
        return replace(content, put=put)

    def _put(self, project: str, job: Job) -> tuple[str, ...]:
        """Write a whole job with another description; what was read back otherwise."""
        changed = {**job.definition, "description": _CHANGED, "disabled": True}
        self._hook.replace_job(self._ids[project], job.id, changed)
        again = self._read(project)[job.name]
        found = [*self._lost(again, changed), *(["id"] if again.id != job.id else [])]
        return (*found, "disabled") if _is_enabled(again, self._states(project)[job.name]) else tuple(found)

    def _enable(self, project: str) -> dict[str, Any]:
        """Enable jobs that are due in 2099, read what they are due at, and disable them.

        A server that was paused through RMI shows every job DISABLED [D], so there nothing can be told.
        """
        names = ("never", "summer", "past")
        self._set("enable", project, names)
        states = self._states(project)
        if not any(states[name].state.is_enabled for name in names):
            flagged = [job.key for job in self._read(project).values() if job.is_flagged_enabled]
            self._set("disable", project, names)
            what = f"none of {len(names)} jobs was read back enabled; a paused server looks exactly like this"
            how = f"resume the {self.role}'s Scheduler (RMI: resumeScheduler) if it is paused; then run a doctor again"
            known(Unread(looks_paused(flagged, self.role).what if flagged else what, how))
        enabled = sum(states[name].state.is_enabled for name in names[:2])
        due = [states[name].next_execution for name in names[:2]]
        zone = tuple(due) if None not in due else Unread("an enabled job that is due in 2099 has no next execution")
        fired = self._has_fired(project, "past")
        self._set("disable", project, names)
        states = self._states(project)
        disabled = sum(not states[name].state.is_enabled for name in names[:2])
        return {"bulk": (2, enabled, disabled), "time zone": zone, "past start, enabled": fired}

    def _set(self, action: Any, project: str, names: Iterable[str]) -> None:
        self.claim.check()
        keys = [JobKey(project=project, name=name) for name in names]
        self._hook.set_jobs_status(action, keys, statuses=self._hook.statuses())

    def _has_fired(self, project: str, name: str) -> bool | Unread:
        """Whether a job that is enabled has fired; not known where it is not enabled."""
        for number in range(LOOKS):
            if number:
                time.sleep(PAUSE)
            status = self._states(project)[name]
            ran = status.previous_execution is not None or status.result not in (None, "NEVER_EXECUTED", "MISFIRED")
            if ran or status.state is JobState.RUNNING:
                return True
        return False if status.state.is_enabled else Unread("the job was not enabled, so it could not fire")

    # -- imports

    def _import(self, one: str, other: str, there: Sequence[Job]) -> dict[str, Any]:
        """Import a file that replaces nothing, then one that replaces a job.

        As long as it is not known that an import deletes nothing, the first file holds all that the server has, but
        for some scratch jobs: so whatever it does, no job of the pair is touched.
        """
        kept = JobKey(project=one, name="kept")
        if isinstance(bulk := self.seen["bulk"], Unread):  # what the import wakes could not be disabled
            known(bulk)
        with exported(self._hook) as (whole, contents):
            self.claim.renew()  # for an export others are kept away much longer
            odd = set(unasked_in(self._hook, contents))
            known({} if kept in contents.jobs else Unread("the export does not hold the scratch jobs that were made"))
            brought = [name for name in self._read(one) if name not in ("kept", "victim")]
            self.claim.check()
            self._hook.delete_jobs([JobKey(project=one, name=name) for name in brought])
            self._put(one, self._read(one)["kept"])
            changed, awake = self._read(one)["kept"], self._states(one)["kept"].state.is_enabled
            all_of_it = self.known.import_replaces is not False

            def first(element: Element) -> bool:
                if element.project is not None and is_scratch(element.project):
                    return element.project == one and element.name != "victim"
                return all_of_it and element.entry not in odd

            def ignored() -> bool:
                return bool(self._unlike(one, changed, awake))

            if all_of_it:
                self._wait_for_a_moment(there)
            self._send(whole, contents, first, ignored)
            self.seen |= self._after_first(one, other, brought, changed, awake)
            if self.seen["import deletes"]:
                known(Unread("an import deletes what it does not hold, so nothing less than all may be imported"))
            self._send(whole, contents, lambda each: each.project == one and each.name == "kept")
        return self._after_second(one, changed)

    def _wait_for_a_moment(self, there: Sequence[Job]) -> None:
        """Wait until no job of the server could fire if an import enabled it, though it is told to replace nothing."""
        now = self._hook.statuses().server_time
        zone = self.seen.get("time zone")
        found = zones_of_offsets(offsets_of(zone), now.date()) if isinstance(zone, tuple) else None
        moment = next_moment(
            there,
            now=now,
            zones=possible_zones(self.context.pair.timezone_of(self.role), found),
            budget=budget(self.known.longest_import),
            until=now + PATIENCE,
            past_start_fires=self.seen.get("past start, enabled") is not False,
        )
        if moment is None:
            how = "run the doctor at a quieter time; syncs find out by themselves what they need to know"
            known(Unread("some job of the server may fire at any time, so it was not imported there", how))
        elif moment > now:
            time.sleep((moment - now).total_seconds())

    def _send(
        self, whole: Any, contents: ArchiveContents, keep: Callable[[Element], bool], ignored: Ignored | None = None
    ) -> None:
        """Import a part of an export, and disable what the server has woken by it.

        :param ignored: whether the server is seen to have ignored that it is to replace nothing; None: it is to.
        """
        sync, part = self.context.pair.sync, whole.parent / "part.zip"
        with new_file(part) as destination:
            cut_archive(whole, contents, destination, keep)
        resting = resting_now(self._hook, self.before)
        until = self.context.now() + sync.lease
        self.claim.renew(sync.lease, importing=True)

        def rest(_: bool = True) -> AtRest:
            return let_rest(self.context, self.role, self.claim.resting(), resting, ignored or (lambda: False))

        try:
            self._hook.import_metadata(
                part, timeout=sync.import_timeout.total_seconds(), options=_replacing(self._hook, ignored is None)
            )
        except DenodoSchedulerError as error:
            if isinstance(error, UnreachableError) or refused(error):
                self.claim.renew(importing=False)
                raise
            hold(self.context, self.role, rest, until=until)
            how = "wait; the next try of this task, the next doctor or the next sync deletes the scratch projects"
            raise NotYet("import_unanswered", f"an import was sent and its end is unknown ({error})", how) from None
        rest()
        self.claim.renew(importing=False)

    def _after_first(self, one: str, other: str, brought: Sequence[str], changed: Job, awake: bool) -> dict[str, Any]:
        fired = self._has_fired(one, "past")
        jobs, states, now = self._read(one), self._states(one), self._hook.statuses().by_key
        for kind, content in self.types.items():
            name = self._copies[kind]
            if isinstance(content, Content) and kind in self._sent:
                back = self._fields(jobs[name]) if name in jobs else {}
                lost = tuple(sorted(differing(self._sent[kind], back) - self._noise))
                self.types[kind] = replace(content, imported=lost)
        gone = [key for key in self.before.by_key if not is_scratch(key.project) and key not in now]
        deleted = {
            "a job of the project that was imported": "victim" not in jobs,
            "another project's job": JobKey(project=other, name="elsewhere") not in now,
            f"{len(gone)} jobs of the server": bool(gone),
        }
        return {
            "import deletes": [what for what, true in deleted.items() if true],
            "import enables": all(name in jobs and _is_enabled(jobs[name], states[name]) for name in brought),
            "past start, imported": fired,
            "import without replace": self._unlike(one, changed, awake),
        }

    def _unlike(self, project: str, changed: Job, awake: bool) -> list[str]:
        """What of a job that was there, and ``changed`` after the export, is otherwise after the first import."""
        kept = self._read(project).get("kept")
        if kept is None:
            return ["it is gone"]
        unlike = self._apart(changed, kept)
        unlike |= {"id"} if kept.id != changed.id else set()
        unlike |= {"disabled"} if self._states(project)["kept"].state.is_enabled is not awake else set()
        return sorted(unlike)

    def _after_second(self, one: str, changed: Job) -> dict[str, Any]:
        kept = self._read(one).get("kept")
        if kept is None:
            known(Unread("the job that was to be replaced is gone"))
        assert kept is not None
        return {
            "import with replace": kept.definition.get("description") != _CHANGED,
            "import keeps ids": kept.id == changed.id,
            "import enables what it replaces": _is_enabled(kept, self._states(one)["kept"]),
        }

    # -- reading

    def _read(self, project: str) -> dict[str, Job]:
        return {job.name: job for job in self._hook.jobs_of(self._ids[project])}

    def _states(self, project: str) -> dict[str, JobStatus]:
        return {each.name: each for each in self._hook.statuses().jobs if each.project == project}

    def _fields(self, job: Job) -> Fields:
        return fields(job, self._names)

    def _apart(self, one: Job, other: Job) -> set[str]:
        return differing(self._fields(one), self._fields(other)) - self._noise

    def _lost(self, read: Job, sent: Mapping[str, Any]) -> tuple[str, ...]:
        """The fields that a job was read back without, or otherwise, than they were sent."""
        return tuple(sorted(self._apart(read.model_copy(update={"definition": dict(sent)}), read)))


def _is_enabled(job: Job, status: JobStatus) -> bool:
    return status.state.is_enabled or job.is_flagged_enabled


def _replacing(hook: DenodoSchedulerHook, value: bool) -> dict[str, Any]:
    """The options of an import that replaces everything, or nothing, each in the place that the connection says."""
    wanted = hook.settings.options("import")
    places = {name: wanted[name] for name in IMPORT_OPTIONS if wanted.get(name) is not None}
    return {name: {**each, "value": value} if isinstance(each, Mapping) else value for name, each in places.items()}
