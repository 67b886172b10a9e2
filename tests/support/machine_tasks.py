"""Tasks of the pair's DAGs that can be killed or put to sleep at any of their calls, and woken later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Any, Literal

from denodo_scheduler.exceptions import DenodoSchedulerError
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, NotYet
from support.sync import WorkerKilled

if TYPE_CHECKING:
    from support.machine_world import World

Kind = Literal["sync", "failover", "switchover", "operator"]
Fate = Literal["kill", "sleep"]
EXPECTED = (DenodoSchedulerError, Blocked, NotYet, NothingToDo, OSError)
"""How a step may end; anything else is a defect."""


class Task:
    """One try of a task instance, a process of a worker. ``root`` is its first try.

    :param body: what it does; its result is kept, or how it ended otherwise.
    :param stop_at: at which of its calls, from 1, ``fate`` strikes. It may sleep anywhere, but not in the middle of a
        request: at its next call then.
    """

    def __init__(
        self,
        world: World,
        kind: Kind,
        body: Callable[[Task], Any],
        *,
        name: str,
        stop_at: int | None = None,
        fate: Fate = "kill",
    ) -> None:
        self.world, self.kind, self.name = world, kind, name
        self.result: Any = None
        self.error: BaseException | None = None
        self.state: Literal["new", "asleep", "dead", "done"] = "new"
        self.began = world.serial
        self.loaded = world.serial
        self.down_in_a_row = 0
        self.looked_at = world.network.now
        self.calls = 0
        self.root: Task = self
        self.consents: set[str] = set()
        self.again: Callable[[int], Task] | None = None
        self.slept_at = -1
        self.looked_serial = 0
        self._body, self._stop_at, self._fate = body, stop_at, fate
        self._go, self._stopped = Semaphore(0), Semaphore(0)

    def start(self) -> Task:
        with self._acting():
            if self._stop_at is None or self._fate == "kill":
                self._run()
            else:
                Thread(target=self._in_thread, daemon=True).start()
                self._stopped.acquire()
        return self

    def wake(self) -> None:
        """Go on to the end."""
        assert self.state == "asleep"
        with self._acting():
            self._go.release()
            self._stopped.acquire()

    def drop(self) -> None:
        """The sleeper never wakes."""
        if self.state == "asleep":
            self.state = "dead"
            self._go.release()
            self._stopped.acquire()

    def call(self, what: str, *, sleeps: bool = True, reads: bool = False) -> None:
        """One of the task's calls is next.

        :param sleeps: whether it may fall asleep there. :param reads: it changes nothing anywhere.
        """
        if self.state == "dead":
            raise WorkerKilled
        if reads and not self.world.strikes_at_reads:
            return
        self.calls += 1
        if self._stop_at is None or self.calls < self._stop_at:
            return
        if self._fate == "kill":
            self.state = "dead"
            self.world.note(f"{self.name} is killed at call {self.calls}, {what}")
            raise WorkerKilled
        if sleeps:
            self._stop_at = None
            self._sleep(what)

    def _sleep(self, what: str) -> None:
        self.state = "asleep"
        self.world.note(f"{self.name} falls asleep at call {self.calls}, {what}")
        self._stopped.release()
        self._go.acquire()
        if self.state == "dead":
            raise WorkerKilled
        self.state = "new"
        self.slept_at = self.world.serial

    @contextmanager
    def _acting(self) -> Iterator[None]:
        actor, self.world.actor = self.world.actor, self
        yield
        self.world.actor = actor

    def _in_thread(self) -> None:
        self._run()
        self._stopped.release()

    def _run(self) -> None:
        try:
            self.result = self._body(self)
        except WorkerKilled:
            self.state = "dead"
        except EXPECTED as error:
            self.error = error
        except BaseException as error:
            self.error = error
            self.world.violated(f"{self.name} ended with {type(error).__name__}: {error}", error)
        finally:
            if self.state == "new":
                self.state = "done"

    @property
    def code(self) -> str:
        if self.state in ("dead", "asleep"):
            return self.state
        return str(getattr(self.error, "code", type(self.error).__name__)) if self.error else str(self.result)
