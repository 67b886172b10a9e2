"""When all faults are over and people do what they are told, the pair comes to rest: invariant 7."""

from __future__ import annotations

from denodo_ha.record import Phase, RecordError, Role
from denodo_scheduler.steps.operate import ManualOperation
from support.machine_rules import names, other
from support.machine_servers import MASTER, ROLES
from support.machine_tasks import Task
from support.machine_world import World

ROUNDS = 12
STOPPED_GOES_ON: tuple[ManualOperation, ...] = ("resume", "release", "acknowledge")
AT_REST = ("healthy", "master_back", "failed_over")


def heal(world: World) -> None:
    """All servers and web tools run, and reach each other."""
    world.note("everything heals")
    world.network.heal()
    for role in ROLES:
        world.network.machines[role].start()


def settle(world: World) -> None:
    """Heal everything, wake the sleepers, and let the failover DAG run and people follow its next steps."""
    heal(world)
    for task in world.tasks:
        if task.state == "asleep":
            world.note(f"{task.name} wakes")
            task.wake()
            world.note(f"{task.name}: {task.code}")
    for operation in STOPPED_GOES_ON:
        world.operate(operation)
    for _ in range(ROUNDS):
        world.pass_time(minutes=6)
        world.rules.step_done()
        task = world.failover()
        if task.code in AT_REST and _quiet(world):
            break
        _follow(world, task)
    else:
        world.violated(f"[7] after {ROUNDS} rounds without faults the pair is not at rest: {task.code}")
        return
    _check(world)


def _quiet(world: World) -> bool:
    record = world.record
    return record is not None and record.operation is None and record.phase in (Phase.NORMAL, Phase.FAILED_OVER)


def _follow(world: World, task: Task) -> None:
    """What a person does who reads the message of a run that was blocked."""
    match task.code:
        case "not_initialised" | "no_snapshot" | "dirty_snapshot" | "stale_snapshot":
            _sync(world)
        case "record_contradicted" | "record_lost" | "halted":
            world.operate("release")
            _initialise(world)
        case "slave_may_be_active":
            _initialise(world)
        case "not_acknowledged" | "cool_down":
            world.operate("acknowledge")
        case "master_back":  # a re-protect has died
            world.sync(reprotect=True)


def _sync(world: World) -> None:
    """In a quiet minute. A job that waits for one that never runs is stopped; jobs whose definitions stay different
    refer to one that only the slave has."""
    task = world.sync()
    if "is WAITING" in task.code:
        server = world.network.machines[MASTER].server
        server.act("stop", list(server.store.jobs.values()))
        world.note("a person stops what waits on the master")
        task = world.sync()
    if "window_closed" in task.code:
        world.pass_time(minutes=1)
        task = world.sync()
    if "mass_change" in task.code:
        task = world.sync(accept_mass_change=True)
    if "another definition" in task.code:
        master, slave = (world.network.machines[role] for role in ROLES)
        for key in slave.jobs.keys() - master.jobs.keys():
            slave.delete(key)
        world.note("a person deletes the slave's orphans")


def _initialise(world: World) -> None:
    """Which server has enabled jobs? That one is active. If both have, the wrong one's are disabled first."""
    active = world.rules.active
    machines = world.network.machines
    if not machines[active].enabled:
        active = other(active)
    for key in machines[other(active)].enabled - machines[active].enabled:
        machines[other(active)].set_enabled(key, False)
    try:
        world.operate("initialise", active=Role(active))
    except RecordError:
        return


def _check(world: World) -> None:
    rules = world.rules
    active, passive = (world.network.machines[role] for role in (rules.active, other(rules.active)))
    record = world.record
    assert record is not None
    if record.active.value != rules.active:
        world.violated(f"[7] the record says that the {record.active} is active; it is the {rules.active}")
    if passive.enabled:
        world.violated(f"[7] at rest, {names(passive.enabled)} are enabled on the passive {passive.role}")
    if differing := (active.enabled ^ rules.wanted) - rules.unclear:
        world.violated(f"[7] at rest, {names(differing)} are not as they should be on the active {active.role}")
