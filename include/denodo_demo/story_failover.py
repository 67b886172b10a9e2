"""The second half of ``make demo``: the master is killed; a failover, edits on the slave, re-protect and a failback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from denodo_demo.airflow_api import Json
from denodo_demo.edits import Edit, definitions, edit, not_home
from denodo_demo.fill import DISABLED
from denodo_demo.history import History
from denodo_demo.judge import Fate, Job, Occurrence, Turn, due, fates, late, made_up, missed
from denodo_demo.processes import wait_for
from denodo_demo.report import (
    PairReading,
    Reading,
    crons,
    occurrences_table,
    show_edits,
    show_facts,
    show_servers,
    zone,
)
from denodo_demo.slowness import allow
from denodo_demo.stage import DAG_ID, FAILOVER, PATIENCE, SWITCHOVER, Stage, Sync
from denodo_ha.promotion import MISFIRE_THRESHOLD

KILL_AT = timedelta(seconds=56)
"""The second of a minute at which the master's Scheduler is killed: jobs are due before that can be detected."""
_MINUTE = timedelta(minutes=1)


@dataclass
class FailoverStory:
    """The story of a failover, printed as it proceeds and judged at its end.

    :param crons: the crons of the jobs whose occurrences are judged. :param since: when they were on the master.
    :param history: the pair's asset events.
    :param edits: what was edited on the slave, and ``edited`` is when; ``new_crons`` are the crons from then on.
    """

    stage: Stage
    history: History
    crons: Mapping[Job, Sequence[str]]
    since: datetime
    edits: list[Edit] = field(init=False)
    edited: datetime = field(init=False)
    new_crons: Mapping[Job, Sequence[str]] = field(init=False)

    @classmethod
    def begin(cls, stage: Stage) -> FailoverStory:
        """Let the failover DAG watch; from now on every occurrence counts."""
        stage.watch()
        history = stage.history()
        stage.meanwhile = history.tell
        return cls(stage, history, crons(stage.pair.master), datetime.now(UTC))

    def tell(self) -> list[str]:
        """Run the story.

        :return: the problems, in words; empty if there are none.
        """
        progress = self.stage.progress
        progress.next()
        before = Reading.of(self.stage.pair.master)
        with progress.step("The failover DAG begins to watch: the master is asked every second"):
            self._wait_until_all_is_well()
        self.stage.picture("normal", None)
        self._web_tool_dies()
        progress.next()
        moment = self._scheduler_dies()
        slave = Reading.of(self.stage.pair.slave)
        self.stage.picture("failed-over", None)
        progress.next()
        self._edit_the_slave()
        # A master that starts again at once runs what fell due in the minute before, which cannot be prevented.
        until = moment - KILL_AT + 2 * _MINUTE + _settle()
        self._wait(until, f"The slave is the active server: it runs what is due at {until:%H:%M} UTC")
        edited = Reading.of(self.stage.pair.slave)
        progress.next()
        self._master_returns()
        reprotected = self._reprotect()
        progress.next()
        self._fail_back()
        with progress.step("A look of the failover DAG by hand: all is well, the slave could take over again"):
            self.stage.airflow.api.trigger(FAILOVER)
            self._wait_until_all_is_well()
        return [*_enabled_differs(before, slave, "the slave after the failover"), *self._judge(edited, reprotected)]

    def _wait_until_all_is_well(self) -> None:
        wait_for(lambda: self.history.settled("healthy"), PATIENCE, "A look of the failover DAG that finds all well")
        self.history.tell()

    def _web_tool_dies(self) -> None:
        webtool = self.stage.pair.master.webtool
        webtool.kill()
        with self.stage.progress.step(f"kill -9 of the {webtool.name}: its Scheduler lives, so nothing may happen"):
            self.history.wait_for("problem", PATIENCE, code="control_path_broken")
        self.stage.picture("control-path-broken", None)
        webtool.start()
        with self.stage.progress.step(f"The {webtool.name} is back"):
            self.history.wait_for("recovered", PATIENCE)
            self._wait_until_all_is_well()

    def _scheduler_dies(self) -> datetime:
        """Kill the master's Scheduler and return when that was, after the failover."""
        moment = kill_time(datetime.now(UTC))
        self._wait(moment, "Waiting for the last seconds of a minute: the worst time for the master to die")
        scheduler = self.stage.pair.master.scheduler
        scheduler.kill()
        say = self.stage.progress.say
        until = datetime.now(UTC) + MISFIRE_THRESHOLD
        with self.stage.progress.step(f"kill -9 of the {scheduler.name}: the slave has to take over", until):
            say("        3 probes without an answer, one a second, and a second path: then the master is down")
            say("        Jobs that ran in the last minute are enabled when it is over, so that none of them runs again")
            self.history.wait_for("failover", PATIENCE)
        return moment

    def _edit_the_slave(self) -> None:
        slave = self.stage.pair.slave
        with self.stage.progress.step("A person edits two jobs on the slave, since that is the active server now"):
            self.edits = edit(slave)
            self.edited = datetime.now(UTC)
            self.new_crons = crons(slave)
        for each in self.edits:
            self.stage.progress.say(f"    {' / '.join(each.job)} ({each.what}): {each.there}")

    def _master_returns(self) -> None:
        scheduler = self.stage.pair.master.scheduler
        scheduler.start()
        with self.stage.progress.step(f"The {scheduler.name} is back, with all its jobs enabled"):
            self.history.wait_for("quenched", PATIENCE)
        self.stage.picture("master-back", None)
        show_servers(self.stage.progress.console, PairReading.of(self.stage.pair), "After failover and return")

    def _reprotect(self) -> Sync:
        """Copy the slave to the master, and return the first of the syncs that did so."""
        what = "Re-protect: the same DAG copies the slave, which is active, to the master"
        return self.stage.sync_all(what, "make demo: bring the edits home", reprotect=True)[0]

    def _fail_back(self) -> None:
        api = self.stage.airflow.api
        known = {run["dag_run_id"] for run in api.dag_runs(DAG_ID)}
        form = {"direction": "to_master", "reason": "make demo: the master is repaired"}
        self.stage.run_dag(
            SWITCHOVER,
            "switch_over",
            "Failing back: drain the slave, read back, enable on the master, read back",
            lambda: api.trigger(SWITCHOVER, form),
        )
        self.history.tell()

        def started() -> str | None:
            return next((run["dag_run_id"] for run in api.dag_runs(DAG_ID) if run["dag_run_id"] not in known), None)

        self.stage.follow(
            "A sync follows by itself; until it has ended, the slave could not take over",
            lambda: wait_for(started, PATIENCE, "The sync after the failback"),
        )

    def _wait(self, moment: datetime, what: str) -> None:
        def reached() -> bool:
            self.history.tell()
            return datetime.now(UTC) >= moment

        with self.stage.progress.step(what, moment):
            wait_for(reached, (moment - datetime.now(UTC)).total_seconds() + PATIENCE, what)

    def _judge(self, edited: Reading, reprotected: Sync) -> list[str]:
        self.history.tell()
        until = datetime.now(UTC) - _settle()
        after = PairReading.of(self.stage.pair)
        home = definitions(self.stage.pair.master)
        found = self._fates(after, until)
        console = self.stage.progress.console
        show_servers(console, after, "At the end")
        show_edits(console, self.edits, home)
        show_facts(console, self._facts(after, reprotected, found))
        table = occurrences_table(found)
        console.print(table)
        self.stage.picture("occurrences", table)
        self.stage.progress.conclusion = conclusion(found)
        return [
            *after.problems(disabled_on_master=DISABLED, slave_ran=True),
            *_enabled_differs(edited, after.master, "the master after the failback"),
            *not_home(self.edits, home),
            *problems(found),
        ]

    def _fates(self, after: PairReading, until: datetime) -> dict[Occurrence, Fate]:
        failover, failback = self.history.last("failover"), self.history.last("failback")
        begun, ended = _moment(failover), _moment(self.history.last("switchover_begun"))
        master, slave = zone(after.master.server), zone(after.slave.server)
        wanted = due(self.crons, (Turn(master, self.since, begun), Turn(slave, begun, self.edited)))
        wanted |= due(self.new_crons, (Turn(slave, self.edited, ended), Turn(master, ended, until)))
        listed, told_late = missed(failover) | missed(failback), late(failover) | late(failback)
        found = fates(wanted, after.master.journal, after.slave.journal, listed, told_late)
        since = {**dict.fromkeys(self.crons.keys() | self.new_crons.keys(), self.since)}
        since |= {each.key: self.edited for each in self.edits}
        ours = {each for each in found if since.get((each.project, each.job), until) < each.scheduled <= until}
        return {each: fate for each, fate in found.items() if each in ours}

    def _facts(self, after: PairReading, reprotected: Sync, found: Mapping[Occurrence, Fate]) -> dict[str, str]:
        failover, failback = self.history.last("failover"), self.history.last("failback")
        rescued = reprotected.result["rescued"]
        ran_late = sum(fate is Fate.LATE for fate in found.values())
        return {
            "failover": f"{failover['rto_seconds']} s from the master's last sign of life to the read-back, "
            f"fencing {failover['fencing']['result']}, as this pair has no fence",
            "missed": f"{failover['missed']['occurrences']} occurrences at the failover and "
            f"{failback['missed']['occurrences']} at the failback, each named in that event; {ran_late} more ran "
            "late, once for all that a job had missed",
            "made up for": f"{len(made_up(after.slave.journal))} runs on the slave, "
            f"{len(made_up(after.master.journal))} on the master: triggers that were overdue when they were resumed "
            f"fire once, as Quartz has it",
            "re-protect": f"before the master was changed, its own state was kept in {rescued['location']}; "
            f"jobs that it had otherwise: {rescued['different']['jobs']}",
            "history": f"{len(self.history.events)} events on the asset, told above",
        }


def _settle() -> timedelta:
    """Return how long after its due time a job is certainly in the journal."""
    return timedelta(seconds=allow(2))


def kill_time(now: datetime) -> datetime:
    """Return the next suitable moment: neither of the two minutes after it begins a quarter of an hour.

    Many more jobs are due at the quarters of an hour.
    """
    minute = now.replace(second=0, microsecond=0)
    while minute + KILL_AT < now or (minute.minute + 1) % 15 in (14, 0):
        minute += _MINUTE
    return minute + KILL_AT


def problems(found: Mapping[Occurrence, Fate]) -> list[str]:
    """Return, in words, which forbidden fates occurred, and which required ones did not."""
    counts = {fate: sum(each is fate for each in found.values()) for fate in Fate}
    wrong = [f"{counts[fate]} occurrences: {fate}" for fate in (Fate.LOST, Fate.TWICE, Fate.NOT_DUE) if counts[fate]]
    idle = [f"no occurrence {fate}" for fate in (Fate.MASTER, Fate.SLAVE) if not counts[fate]]
    return wrong + idle


def conclusion(found: Mapping[Occurrence, Fate]) -> str:
    """Return the outcome in one sentence, by the servers' journals."""
    counts = Counter(found.values())
    listed, lost, twice, not_due = (counts[each] for each in (Fate.LISTED, Fate.LOST, Fate.TWICE, Fate.NOT_DUE))
    if twice or lost or not_due:
        return (
            f"Not as it must be: {twice} scheduled runs happened twice, {not_due} without being due; "
            f"{listed + lost} were missed, {lost} of them not listed."
        )
    missed = f"{listed} of {counts.total()} scheduled runs were missed, all listed" if listed else "none was missed"
    late = f" {counts[Fate.LATE]} ran late," if counts[Fate.LATE] else ""
    return f"No job ran twice,{late} and {missed}."


def _enabled_differs(master: Reading, other: Reading, which: str) -> list[str]:
    count = len(master.enabled ^ other.enabled)
    return [f"{count} jobs are not enabled or disabled on {which} as they were on the master"] if count else []


def _moment(event: Json) -> datetime:
    return datetime.fromisoformat(event["at"])
