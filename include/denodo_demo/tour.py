"""The guided tour of ``make run``: five steps, each of which is noticed when it was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Seen:
    """What there is to see of the pair.

    :param looked: the page of pairs was asked for. :param synced: a sync that a person has started has succeeded.
    :param ready: the last look at the pair says that the slave could take over.
    :param active: the active server by the pair's record; empty before there is one.
    :param phase: the phase of the record. :param master_runs: the master's Scheduler runs.
    :param master_enabled: how many of the master's jobs are enabled; None where that was not asked.
    """

    looked: bool = False
    synced: bool = False
    ready: bool = False
    active: str = ""
    phase: str = ""
    master_runs: bool = True
    master_enabled: int | None = None

    @property
    def failed_over(self) -> bool:
        return self.active == "slave" and self.phase == "failed_over"


@dataclass(frozen=True)
class TourStep:
    """One step.

    :param key: what Enter does in it. :param title: what it shows. :param how: what to do, line by line; names in
        braces are places. :param enter: what Enter is for. :param done: what is said when it was done.
    """

    key: str
    title: str
    how: tuple[str, ...]
    enter: str
    done: str


STEPS = (
    TourStep(
        "look",
        "Look at the page of pairs",
        (
            "Open {page}",
            "Log in: {login}",
            "Choose the pair 'default': the page says which server runs the jobs and whether the other is ready.",
            "A new pair is critical until the first sync has ended, in half a minute: nothing could take over yet.",
            "The next step comes by itself when the page was opened.",
        ),
        "To go on without that",
        "The page was opened.",
    ),
    TourStep(
        "sync",
        "Sync: copy the master's jobs to the slave",
        (
            "The first sync begins by itself, and another one every 15 minutes. Start one yourself:",
            "open {sync} and press Trigger, and again below the form.",
            "The next step comes when that sync has ended and the slave could take over.",
        ),
        "To start it from here",
        "The slave has all jobs, disabled, and could take over.",
    ),
    TourStep(
        "kill",
        "Kill the master, and watch the slave take over",
        (
            "In another shell: {kill}",
            "Keep the page in sight: after 3 seconds of silence the failover begins.",
            "Jobs that ran in the last minute are enabled when that minute is over, so that none of them runs twice.",
        ),
        "To kill it from here",
        "The slave is the active server: it runs the jobs.",
    ),
    TourStep(
        "start",
        "Bring the master back",
        (
            "The master comes back with all its jobs enabled. The failover DAG disables them within seconds, and says",
            "which of them may have run on both servers.",
        ),
        "To start it",
        "The master is back, and its jobs are disabled.",
    ),
    TourStep(
        "fail_back",
        "Fail back to the master",
        (
            "Open {switchover} and press Trigger;",
            "choose the direction 'to_master', give a reason, and press Trigger below the form.",
        ),
        "To do it from here",
        "The master runs the jobs again.",
    ),
)
END = "The tour is over. Everything stays up; try what you like."


@dataclass
class Tour:
    """The tour, told line by line.

    :param say: prints a line. :param places: what stands for the names in braces in :data:`STEPS`.
    """

    say: Callable[[str], object]
    places: dict[str, str]
    _at: int = -1
    _memory: set[str] = field(default_factory=set)

    @property
    def step(self) -> TourStep | None:
        """The present step; None before the tour and after it."""
        return STEPS[self._at] if 0 <= self._at < len(STEPS) else None

    def at(self, *keys: str) -> bool:
        """Return whether the present step is one of these."""
        step = self.step  # once, because another thread may move on meanwhile
        return step is not None and step.key in keys

    def skip(self) -> None:
        """Take the page as looked at."""
        self._memory.add("look")

    def see(self, seen: Seen) -> None:
        """Compare what is seen with the present step; when it was done, say so and tell the next one.

        A step that was done before its turn counts. A pair that is failed over when the tour begins is brought home.
        """
        self._remember(seen)
        if self._at < 0:
            self._tell_next()
        while (step := self.step) and step.key in self._memory:
            self.say(f"    Done: {step.done}")
            self._tell_next()

    def _remember(self, seen: Seen) -> None:
        done = {
            "look": seen.looked,
            "sync": seen.synced and seen.ready,
            "kill": seen.failed_over,
        }
        self._memory |= {key for key, is_done in done.items() if is_done}
        if seen.failed_over:
            self._memory.add("sync")
            if seen.master_runs and seen.master_enabled == 0:
                self._memory.add("start")
        elif "kill" in self._memory and seen.active == "master" and seen.phase == "normal":
            self._memory |= {"start", "fail_back"}

    def _tell_next(self) -> None:
        self._at += 1
        if step := self.step:
            self.say("")
            self.say(f"Step {self._at + 1} of {len(STEPS)}: {step.title}")
            for line in step.how:
                self.say(f"    {line.format(**self.places)}")
            self.say(f"    {step.enter}: {self.places['enter']}")
        else:
            self.say(END)
