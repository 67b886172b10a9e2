from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from denodo_ha.jobs import JobKey
from denodo_ha.quartz.cron import QuartzCron
from denodo_standin.engine import Engine
from denodo_standin.exportfile import read_export
from denodo_standin.generate import Generated, generate
from denodo_standin.load import load_into_directory, write
from denodo_standin.params import Element, has_secrets
from denodo_standin.server import SchedulerServer
from denodo_standin.store import Store

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def generated() -> Generated:
    return generate(jobs=500, projects=12, seed=1, disabled=37)


def jobs(generated: Generated) -> list[Element]:
    return [element for element in generated.export.elements if element.kind == "job"]


def crons(generated: Generated) -> list[str]:
    triggers = [job.params.get("trigger", {}) for job in jobs(generated)]
    return [trigger["cronExpression"] for trigger in triggers if trigger]


def test_as_many_of_everything_as_asked_for(generated: Generated) -> None:
    assert len(jobs(generated)) == 500
    assert len({job.project for job in jobs(generated)}) == len(generated.export.projects) == 12
    keys = {JobKey(project=job.project, name=job.name) for job in jobs(generated)}
    assert len(keys) == 500, "a name is there twice in a project"
    assert len(set(generated.disabled)) == 37
    assert set(generated.disabled) <= keys


def test_the_seed_decides(generated: Generated) -> None:
    assert generate(jobs=500, projects=12, seed=1, disabled=37) == generated
    assert generate(jobs=500, projects=12, seed=2, disabled=37) != generated


@pytest.mark.parametrize(("jobs_", "projects", "disabled"), [(0, 1, 0), (3, 5, 3), (700, 40, 0)])
def test_odd_sizes(jobs_: int, projects: int, disabled: int) -> None:
    generated = generate(jobs=jobs_, projects=projects, disabled=disabled)
    assert len(jobs(generated)) == jobs_
    assert len({name.casefold() for name in generated.export.projects}) == projects
    assert len(generated.disabled) == disabled


@pytest.mark.parametrize(("jobs_", "projects", "disabled"), [(1, 0, 0), (1, 1, 2), (-1, 1, 0), (1, 1, -1)])
def test_senseless_sizes_are_refused(jobs_: int, projects: int, disabled: int) -> None:
    with pytest.raises(ValueError, match="at least 1 project, and no more disabled jobs than jobs"):
        generate(jobs=jobs_, projects=projects, disabled=disabled)


def test_names_are_hard(generated: Generated) -> None:
    names = [job.name for job in jobs(generated)]
    assert any(" " in name for name in names)
    assert any("/" in name for name in names)
    assert any("%" in name for name in names)
    assert any(not name.isascii() for name in names)
    assert Counter(names).most_common(1)[0][1] > 1, "no name is in two projects"
    spellings = defaultdict(set)
    for name in names:
        spellings[name.casefold()].add(name)
    assert any(len(found) > 1 for found in spellings.values()), "no two names differ by case only"


def test_jobs_are_mixed(generated: Generated) -> None:
    assert {job.sub_type for job in jobs(generated)} == {"VDP", "VDPCache", "VDPIndexer", "VDPDataLoad"}
    for parameter in ("description", "processor", "handlers", "retryConfig", "trigger"):
        assert 0 < sum(parameter in job.params for job in jobs(generated)) < 500, parameter


def test_dependencies_and_data_sources_exist(generated: Generated) -> None:
    present = {(each.project, each.kind, each.name) for each in generated.export.elements}
    dependencies = 0
    for job in jobs(generated):
        assert (job.project, "dataSource", job.params["dataSource"]) in present
        if dependency := job.params.get("trigger", {}).get("dependency"):
            dependencies += 1
            assert (job.project, "job", dependency["jobId"]) in present
    assert dependencies > 10


def test_nothing_fires_more_often_than_every_quarter_and_there_are_quiet_windows(generated: Generated) -> None:
    due = set()
    for cron in set(crons(generated)):
        times = list(QuartzCron(cron).between(MONDAY, MONDAY + timedelta(days=1), UTC))
        due.update(times)
        assert all(after - before >= timedelta(minutes=15) for before, after in pairwise(times))
    ordered = sorted(due)
    windows = [after - before for before, after in pairwise(ordered)]
    assert sum(window > timedelta(minutes=10) for window in windows) > 50


def test_schedules_are_mixed(generated: Generated) -> None:
    fields = [cron.split() for cron in crons(generated)]
    assert any(field[3] == field[4] == "*" and field[2].isdigit() for field in fields), "none nightly"
    assert any(field[2] == "*" and field[1].isdigit() for field in fields), "none hourly"
    assert any(field[5] in ("SUN", "2") for field in fields), "none weekly"
    assert any(field[3] in ("1", "L", "LW") for field in fields), "none monthly"


# --- a server that never rests


@pytest.fixture(scope="module")
def busy() -> Generated:
    return generate(jobs=2000, projects=20, seed=7, busy=True)


def test_a_busy_server_has_as_many_jobs_of_each_kind_as_it_says(busy: Generated) -> None:
    assert len(jobs(busy)) == len(crons(busy)) == 2000
    assert len(busy.export.projects) == 20
    times = Counter(len(list(QuartzCron(cron).between(MONDAY, MONDAY + HOUR, UTC))) for cron in crons(busy))
    assert (times[60], times[360]) == (100, 20)
    assert times[12] > 20, "every 5 minutes"
    assert times[1] > 250, "hourly, or due once in this hour"
    assert times[0] > 1000, "daily"
    assert set(times) <= {0, 1, 2, 3, 4, 6, 12, 60, 360}
    assert any("MON-FRI" in cron for cron in crons(busy))


def test_a_tenth_of_a_busy_servers_jobs_has_secrets_some_that_never_rest_among_them(busy: Generated) -> None:
    secret = [job for job in jobs(busy) if has_secrets(job.params)]
    assert len(secret) == 200
    assert any(job.params["trigger"]["cronExpression"].endswith("/10 * * * * ?") for job in secret)


def test_two_jobs_of_a_busy_server_run_for_hours(busy: Generated) -> None:
    labels = [f"{job.project} / {job.name}" for job in jobs(busy)]
    assert len(busy.durations) == 2
    for duration in busy.durations:
        assert duration.seconds >= 2 * 3600
        assert duration.match is not None
        assert sum(duration.match.search(label) is not None for label in labels) == 1


def test_the_seed_decides_a_busy_server_too(busy: Generated) -> None:
    assert generate(jobs=2000, projects=20, seed=7, busy=True) == busy
    assert generate(jobs=2000, projects=20, seed=8, busy=True) != busy
    assert len(jobs(generate(jobs=1, projects=1, busy=True))) == 1


def test_jobs_that_depend_on_each_other_rest(busy: Generated) -> None:
    by_key = {(job.project, job.name): job for job in jobs(busy)}
    restless = re.compile(r"\d+(/10)? \* \* \* \* \?")
    dependent = [job for job in jobs(busy) if "dependency" in job.params["trigger"]]
    assert dependent
    for job in dependent:
        needed = by_key[job.project, job.params["trigger"]["dependency"]["jobId"]]
        assert not any(restless.fullmatch(each.params["trigger"]["cronExpression"]) for each in (job, needed))


def test_a_server_loaded_while_stopped_knows_which_jobs_run_for_hours(busy: Generated, tmp_path: Path) -> None:
    write(busy, tmp_path / "busy.zip")
    load_into_directory(tmp_path / "busy.zip", tmp_path / "data")
    store = Store(tmp_path / "data")
    names = {project.id: project.name for project in store.projects.values()}
    seconds = Counter(store.settings.seconds_of(f"{names[job.project_id]} / {job.name}") for job in store.jobs.values())
    assert seconds == {1: 1998, 4 * 3600: 2}


# --- written and loaded


def test_a_written_file_holds_it_all_but_who_is_disabled(generated: Generated, tmp_path: Path) -> None:
    file = tmp_path / "made.zip"
    write(generated, file)
    assert read_export(file) == generated.export
    beside = json.loads((tmp_path / "made.disabled.json").read_text())
    assert {JobKey.model_validate(key) for key in beside} == set(generated.disabled)


def test_a_server_loaded_while_stopped_has_the_jobs_and_who_is_disabled(generated: Generated, tmp_path: Path) -> None:
    write(generated, tmp_path / "made.zip")
    assert load_into_directory(tmp_path / "made.zip", tmp_path / "data", id_offset=3000) == []
    server = SchedulerServer(tmp_path / "data", timezone="America/New_York", manual=True, now=MONDAY)
    server.engine.recover()
    store = server.store
    names = {project.id: project.name for project in store.projects.values()}
    disabled = {JobKey(project=names[job.project_id], name=job.name) for job in store.jobs.values() if job.disabled}
    assert len(store.jobs) == 500
    assert disabled == set(generated.disabled)
    assert min(store.jobs) > 3000
    assert store.journal() == []
    _due_by_its_own_clock(server.engine)


def _due_by_its_own_clock(engine: Engine) -> None:
    scheduled = [job for job in engine.store.jobs.values() if job.triggers]
    for job in scheduled:
        expected = QuartzCron(job.triggers[0]["cronExpression"]).next_after(MONDAY, engine.timezone)
        assert job.next_execution == expected
    assert scheduled


def test_a_damaged_file_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match="Not an intact zip"):
        load_into_directory(tmp_path / "bad.zip", tmp_path / "data")
    assert not (tmp_path / "data").exists()
