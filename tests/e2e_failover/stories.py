"""What happens to the pairs, scene by scene. Each story has servers of its own, or projects of its own on them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from denodo_cli import rehearsal
from denodo_cli.reading import read
from denodo_demo.processes import wait_for
from denodo_demo.standin import Json, StandinPair, StandinServer
from denodo_ha.status import MAX_AGE, judge
from support.delivery import addresses, content, put, source
from support.failover_dag import PATIENCE, Scene, Stage, about, asked, enabled, wait_until
from support.sync import act, add_job, delete, edit
from support.sync_dag import NEVER

Scenes = Iterator[tuple[str, Scene]]

FALL = 3
"""Of the pair ``calm``."""
ADDRESS = "*.dataSource.VDP.*.connectionURI"
SITES = {"master": "//vdp-a:9999/admin", "slave": "//vdp-b:9999/admin"}
"""Of the pair ``night``: the address that data sources have on each server."""
EDITED, MADE, DELETED = "work / job 00", "reports / made on the slave", "work / job 01"
SWITCHED_ON, SWITCHED_OFF = "reports / off on purpose 0", "reports / job 00"
"""What people do on the slave of the pair ``night`` while it is the active server."""


def refuse(times: int | None, match: Json) -> Json:
    """500, as a web tool answers whose server is down."""
    return {"kind": "status", "status": 500, "match": match, "times": times}


def _watched(stage: Stage) -> str:
    """Begin to watch the pair; returns the id of the run that does."""
    stage.dag.unpause()
    watcher = stage.dag.watching("healthy")
    stage.servers.master.webtool.reset_requests()
    _wait_for_rounds(stage.servers.master, 2)
    return watcher


def _wait_for_rounds(server: StandinServer, rounds: int) -> None:
    wait_for(lambda: asked(server.webtool, "GET", "/me") > rounds, PATIENCE, f"{rounds} rounds", poll=0.5)


# -- calm: nothing of it is a failover


def calm(stage: Stage) -> Scenes:
    dag, servers = stage.dag, stage.servers
    watcher = _watched(stage)

    stage.begin()
    yield "calm", stage.end(page=stage.page("normal"))
    for length in (1, FALL - 1):
        _burst(stage, length)
        _wait_for_rounds(servers.master, length + 2)
    still = dag.states(watcher)["ping_master"]
    yield "short bursts", stage.end(watcher=watcher, ping=still, owner=dag.state()["watch"]["owner"])

    _burst(stage, FALL)
    stage.wait_for_event("failover_given_up")
    yield "burst as long as fall", stage.end(enabled=enabled(servers.slave))
    servers.heal()

    servers.master.webtool.kill()
    stage.wait_for_event("problem", "control_path_broken")
    _wait_for_a_tick(servers.master)
    page = stage.page("control path broken")
    yield "web tool killed", stage.end(enabled=enabled(servers.slave), page=page)

    servers.master.webtool.start()
    stage.wait_for_event("recovered")
    watcher = dag.watching("healthy")
    yield "web tool back", stage.end()

    woken = next(status for status in servers.slave.statuses() if status["projectName"] != "ticks")
    servers.slave.set_status("enable", [woken])
    woken_jobs = enabled(servers.slave)
    run_id = dag.trigger(reason="is anything wrong?")
    dag.wait_for_success(run_id)
    yield (
        "job woken",
        stage.end(
            woken=woken_jobs,
            ping=dag.states(watcher)["ping_master"],
            verdict=dag.xcom(run_id, "ping_master")["evidence"]["verdict"],
            enabled=enabled(servers.slave),
        ),
    )

    for name in ("operations", "switchover", "sync"):
        dag.airflow.api.set_paused(f"denodo_scheduler_{name}__calm", False)
    told = rehearsal.drill(dag.airflow.api, "calm", "can it run?", print)
    stage.wait_for_event("drill")
    yield "drilled", stage.end(told=told, enabled=enabled(servers.slave))

    wanted = enabled(servers.master)
    told = rehearsal.rehearse(dag.airflow.api, "calm", "before we trust it", timedelta(0), print)
    yield (
        "rehearsed",
        stage.end(told=told, wanted=wanted, master=enabled(servers.master), slave=enabled(servers.slave)),
    )

    dag.watching("healthy")
    looks = []
    for operation, code in (("pause", "paused"), ("resume", "healthy")):
        run_id = dag.operations.run(operation=operation, reason="a moment")
        asked = {key: dag.operations.xcom(run_id, "operate", key) for key in ("return_value", "trigger_run_id")}
        owner = dag.watching(code)
        looks.append((operation, asked, dag.states(asked["trigger_run_id"]), owner))
    yield "paused and resumed", stage.end(looks=looks)

    servers.master.set_status("disable", servers.master.statuses())
    dag.trigger(reason="does nothing run any more?")
    stage.wait_for_event("problem", "nothing_enabled")
    yield "nothing enabled", stage.end(page=stage.page("nothing enabled"), slave=enabled(servers.slave))


def _burst(stage: Stage, length: int) -> None:
    """So many rounds in which both paths to the master answer with 500."""
    master, slave = stage.servers.servers
    slave.webtool.faults(refuse(length, about(master, path="/me$")))
    master.webtool.reset_requests()
    master.webtool.faults(refuse(length, {"path": "/me$"}))


# -- night: the master dies, comes back, is given its jobs back, and dies again


def night(stage: Stage) -> Scenes:
    dag, servers = stage.dag, stage.servers
    _watched(stage)
    stage.begin()
    wanted, sites = enabled(servers.master), _sites(servers)
    died = datetime.now(UTC)
    servers.master.scheduler.kill()
    failover = stage.wait_for_event("failover")
    taken = enabled(servers.slave)
    old_run = failover["operation"].rpartition("/")[0]
    dag.wait(old_run)
    note, page = dag.note(old_run), stage.page("failed over")
    yield "master killed", stage.end(wanted=wanted, enabled=taken, died=died, addresses=sites, note=note, page=page)

    run_id = dag.sync.trigger(reason="what if?")
    dag.sync.wait(run_id)
    yield (
        "sync by hand",
        stage.end(
            states=dag.sync.states(run_id),
            verdict=dag.sync.xcom(run_id, "guard", "verdict"),
            enabled=enabled(servers.slave),
        ),
    )

    back = datetime.now(UTC)
    servers.master.scheduler.start()
    woke = enabled(servers.master)
    stage.wait_for_event("quenched")
    seconds = (datetime.now(UTC) - back).total_seconds()
    page, now = stage.page("master back"), (enabled(servers.master), enabled(servers.slave))
    yield "master back", stage.end(woke=woke, back=back, seconds=seconds, master=now[0], slave=now[1], page=page)

    _work_on(servers.slave)
    wanted = enabled(servers.slave)
    yield "edited", stage.end(wanted=wanted, master=content(servers.master), slave=content(servers.slave))

    run_id = dag.sync.trigger(reprotect=True, orphans="delete", reason="what was edited shall come home")
    dag.sync.wait(run_id)
    stage.wait_for_event("sync")
    yield (
        "re-protected",
        stage.end(
            result=dag.sync.xcom(run_id, "verify"),
            status=judge(dag.pair, read(dag.airflow.api, dag.pair), datetime.now(UTC), MAX_AGE, verbose=True),
            content=(content(servers.master), content(servers.slave)),
            addresses=_sites(servers),
            master=enabled(servers.master),
            slave=enabled(servers.slave),
        ),
    )

    run_id = dag.switchover.trigger(direction="to_master", reason="the master is repaired")
    dag.switchover.wait(run_id)
    assert dag.switchover.states(run_id)["switch_over"] == "success", dag.switchover.why(run_id)
    stage.wait_for_event("sync")
    look = dag.airflow.api.dag_run(dag.dag_id, dag.switchover.xcom(run_id, "report", "trigger_run_id"))
    yield (
        "failed back",
        stage.end(
            look=look,
            asked=dag.switchover.task(run_id, "report"),
            master=enabled(servers.master),
            slave=enabled(servers.slave),
            content=(content(servers.master), content(servers.slave)),
            addresses=_sites(servers),
        ),
    )

    servers.master.scheduler.kill()
    stage.wait_for_event("problem", "cool_down")
    yield "dies again", stage.end(slave=enabled(servers.slave))

    servers.master.scheduler.start()
    before = stage.dag.state()["record"]
    dag.clear(old_run, "enable_jobs")
    yield (
        "old run cleared",
        stage.end(
            states=dag.states(old_run),
            log=dag.log(old_run, "enable_jobs"),
            before=before,
            master=enabled(servers.master),
            slave=enabled(servers.slave),
            master_journal=servers.master.scheduler.journal(),
            slave_journal=servers.slave.scheduler.journal(),
        ),
    )


def _sites(servers: StandinPair) -> dict[str, dict[str, str]]:
    return {server.name: addresses(server) for server in servers.servers}


def _work_on(slave: StandinServer) -> None:
    """What people do on the active slave: they edit, make and delete jobs, and enable and disable one each."""
    edit(slave, EDITED, description="edited on the slave")
    add_job(slave, *MADE.split(" / "), NEVER)
    delete(slave, DELETED)
    act(slave, "enable", SWITCHED_ON)
    act(slave, "disable", SWITCHED_OFF)
    put(slave, source(SITES["slave"], project="work", name="made on the slave"))


# -- cut off: the master lives, and cannot be heard


def cut_off(best_effort: Stage, required: Stage) -> Scenes:
    dag, servers = best_effort.dag, best_effort.servers
    master, slave = servers.servers
    _watched(best_effort)
    best_effort.begin()
    # 500 for as long as it takes, then nothing at all: only this way to the master is broken
    master.webtool.faults(refuse(2, {"path": "/me$"}), {"kind": "cut_before"})
    best_effort.wait_for_event("problem", "control_path_broken")
    yield "cut from Airflow only", best_effort.end(slave=enabled(slave))

    required.begin()
    slave.webtool.faults({"kind": "cut_before", "match": about(master)})
    required.dag.unpause()
    best_effort.wait_for_event("failover")
    required.wait_for_event("problem", "not_fenced")
    _wait_for_a_tick(master)
    yield "required", required.end(slave=enabled(slave, "fenced"), alive=master.scheduler.running)
    required.dag.end()
    yield "nothing watches", required.end(page=required.page("monitor stopped"))
    yield "best effort", best_effort.end(slave=enabled(slave), alive=master.scheduler.running)

    # it can be heard again, and refuses to be quenched
    slave.webtool.faults(refuse(None, about(master, method="PUT")))
    master.webtool.faults(refuse(None, {"method": "PUT"}))
    best_effort.wait_for_event("problem", "split_brain")
    page = best_effort.page("split brain")
    yield "refuses to be quenched", best_effort.end(slave=enabled(slave), cut_jobs=enabled(master, "cut"), page=page)

    servers.heal()
    run_id = dag.trigger(reason="it can be quenched now")
    dag.wait_for_success(run_id)
    best_effort.wait_for_event("quenched")
    yield "quenched", best_effort.end(slave=enabled(slave), cut_jobs=enabled(master, "cut"), master=enabled(master))


def _wait_for_a_tick(server: StandinServer) -> None:
    """The process goes on firing its jobs."""
    mark = max((run["seq"] for run in server.scheduler.journal()), default=0)
    wait_for(lambda: server.scheduler.journal(mark), PATIENCE, f"a run on the {server.name}")


# -- asked: a person decides


def asked_for(rejected: Stage, approved: Stage) -> Scenes:
    slave = approved.servers.slave
    for stage in (rejected, approved):
        stage.begin()
        stage.dag.unpause()
    no, yes = rejected.dag.wait_until_asked(), approved.dag.wait_until_asked()
    yield "asked", approved.end(slave=enabled(slave, "no", "yes"))

    rejected.dag.answer(no, "Reject")
    rejected.wait_for_event("rejected")
    rejected.dag.wait(no)
    yield "rejected", rejected.end(slave=enabled(slave, "no"))
    rejected.dag.airflow.api.set_paused(rejected.dag.operations.dag_id, False)
    halting = rejected.dag.operations.trigger(operation="halt", reason="something is odd")
    rejected.dag.operations.wait(halting)
    rejected.wait_for_event("halted")
    yield "halted", rejected.end(slave=enabled(slave, "no"), page=rejected.page("halted"))
    rejected.dag.end()

    approved.begin()
    approved.dag.answer(yes, "Approve")
    approved.wait_for_event("failover")
    yield "approved", approved.end(slave=enabled(slave, "yes"), others=enabled(slave, "no"))

    for name, record in (("database lost", None), ("database of yesterday", approved.seed)):
        approved.begin()
        approved.dag.set_record(record)
        approved.dag.wait_for_success(approved.dag.trigger(reason=name))
        yield name, approved.end(slave=enabled(slave, "yes"))

    approved.begin()
    max(approved.versions.glob("*.json")).unlink()
    run_id = approved.dag.trigger(reason="the storage is of yesterday")
    run = approved.dag.wait(run_id)
    state, note = approved.dag.states(run_id)["blocked"], approved.dag.note(run_id)
    log = approved.dag.log(run_id, "blocked")
    yield "storage of yesterday", approved.end(run=run, state=state, note=note, slave=enabled(slave, "yes"), log=log)


# -- interrupted: several runs at once, and the worker of one of them is killed


def interrupted(stage: Stage) -> Scenes:
    dag, servers = stage.dag, stage.servers
    slave = servers.slave
    number = next(status["projectID"] for status in slave.statuses() if status["projectName"] == "killed")
    hang = {"kind": "hang", "skip": 1, "match": {"method": "PUT", "path": f"/projects/{number}/jobs/status$"}}
    slave.webtool.faults(hang)

    stage.begin()
    runs = [dag.trigger(reason=f"person {person} sees that the master is down") for person in (1, 2)]
    wait_for(lambda: enabled(slave, "killed"), PATIENCE, "the first jobs of the slave", poll=0.2)
    owner = dag.state()["record"]["operation"]["id"].rpartition("/")[0]
    dag.airflow.kill_worker(dag.task(owner, "enable_jobs"))
    slave.webtool.faults()
    dag.airflow.api.set_run_state(dag.dag_id, owner, "failed")
    half, page = enabled(slave, "killed"), stage.page("failing over")
    for run_id in runs:
        if run_id != owner:
            dag.wait(run_id)
    record = dag.state()["record"]
    yield "worker killed", stage.end(owner=owner, half=half, states={run: dag.states(run) for run in runs}, page=page)

    wait_until(record["operation"]["lease_until"])
    again = [dag.trigger(reason=f"person {person} looks again") for person in (1, 2)]
    stage.wait_for_event("failover")
    for run_id in again:
        dag.wait_for_success(run_id)
    yield "another run", stage.end(states={run: dag.states(run) for run in again}, slave=enabled(slave, "killed"))


# -- stale: what is there to take over with is too old


def stale(stage: Stage) -> Scenes:
    stage.begin()
    stage.dag.unpause()
    stage.wait_for_event("problem", "stale_snapshot")
    page = stage.page("blocked by a stale snapshot")
    yield "blocked", stage.end(slave=enabled(stage.servers.slave, "stale"), page=page)
