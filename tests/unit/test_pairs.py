from __future__ import annotations

import operator
import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from denodo_ha.decisions import Alert
from denodo_ha.pairs import Pair, PairOptions
from denodo_ha.pairs_file import GROUPS, PairsError, load_pairs
from denodo_ha.pairs_options import (
    AlertsOptions,
    FailoverOptions,
    MassChangeLimits,
    Notify,
    PropertiesOptions,
    SnapshotsOptions,
    SyncOptions,
    WatchOptions,
)
from denodo_ha.record import Role
from denodo_ha.scope import Scope
from denodo_ha.server.address import server_uri
from support.pairs import make_pair

SHIPPED = Path(__file__).parents[2] / "include" / "pairs.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pairs.yaml"


def mistakes(file: Path, text: str) -> list[str]:
    """Lines of the error, without the path of the file."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PairsError) as caught:
        load_pairs(file)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{file}: ")
    assert all(line.startswith(f"{file}:") for line in lines if "pairs.yaml" in line)
    return [line.removeprefix(f"{file}:") for line in lines]


def load(file: Path, text: str) -> dict[str, Pair]:
    file.write_text(text, encoding="utf-8")
    return load_pairs(file)


def test_the_shipped_file_is_one_pair_with_the_defaults() -> None:
    assert load_pairs(SHIPPED) == {"default": Pair(name="default")}


def test_the_shipped_file_explains_every_option_with_its_default(file: Path) -> None:
    """Uncommenting everything under the pair gives the defaults again, so the comments tell the truth."""
    head, _, options = SHIPPED.read_text(encoding="utf-8").partition("  default:")
    uncommented = re.sub(r"^( {4}| {6})# ", r"\1", options, flags=re.MULTILINE)
    assert load(file, f"{head}  default:{uncommented}") == {"default": Pair(name="default")}
    written = yaml.safe_load(file.read_text(encoding="utf-8"))["pairs"]["default"]
    assert list(written)[-len(GROUPS) :] == list(GROUPS)
    assert set(written) == set(PairOptions.model_fields)
    for group, model in GROUPS.items():
        assert set(written[group]) == set(model.model_fields)


def test_of_the_shipped_file_a_newcomer_sees_the_servers_and_five_groups() -> None:
    shown = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["pairs"]["default"]
    assert shown == {"master": "denodo_scheduler_master", "slave": "denodo_scheduler_slave", **dict.fromkeys(GROUPS)}


def test_every_option(file: Path) -> None:
    pair = load(
        file,
        """
        pairs:
          emea-1.x:
            description: Europe
            master: m
            slave: s
            projects: [sales_*, hr]
            jobs: ["load*"]
            master_timezone: Europe/Madrid
            slave_timezone: America/New_York
            properties:
              master: {default.dataSource.VDP.vdp.connectionURI: //a:9999/admin}
              slave: {default.dataSource.VDP.vdp.connectionURI: //b:9999/admin}
            owner: data-platform
            queue: near_denodo
            tags: [a, b]
            sync:
              schedule: "*/10 2-4 * * 1-5"
              quiet_window: 90s
              quiet_margin: 0
              quiet_timeout: PT1H
              import_timeout: 1h
              lease: 1h30m
              mass_change: {percent: 50, jobs: 1}
              orphans: delete
              reprotect: automatic
              verify_definitions: false
              secrets_refresh: 0s
            watch:
              probe_interval: 5s
              fall: 4
              duration: 20s
              second_path: //master-host:8000
              one_path: true
            failover:
              policy: approval
              approval_timeout: 10m
              fencing: required
              fence: my_site.fences.power_off
              fence_timeout: 30s
              oldest_snapshot: 3d
              enable_batch: 1
              cool_down: 20s
              catch_up: start_missed
              catch_up_jobs: ["load_*"]
              on_master_return: fail_back
              stable_for: 15s
            snapshots:
              location: s3://aws@bucket/x
              keep: 2
            alerts:
              notify:
                - notifier: my_site.Pager
                  arguments: {to: [ops], level: 5}
                  alerts: [failover, split_brain]
                - notifier: my_site.Log
        """,
    )["emea-1.x"]
    assert pair == Pair(
        name="emea-1.x",
        description="Europe",
        master="m",
        slave="s",
        projects=("sales_*", "hr"),
        jobs=("load*",),
        master_timezone="Europe/Madrid",
        slave_timezone="America/New_York",
        properties=PropertiesOptions(
            master={"default.dataSource.VDP.vdp.connectionURI": "//a:9999/admin"},
            slave={"default.dataSource.VDP.vdp.connectionURI": "//b:9999/admin"},
        ),
        owner="data-platform",
        queue="near_denodo",
        tags=("a", "b"),
        sync=SyncOptions(
            schedule="*/10 2-4 * * 1-5",
            quiet_window=timedelta(seconds=90),
            quiet_margin=timedelta(0),
            quiet_timeout=timedelta(hours=1),
            import_timeout=timedelta(hours=1),
            lease=timedelta(minutes=90),
            mass_change=MassChangeLimits(percent=50, jobs=1),
            orphans="delete",
            reprotect="automatic",
            verify_definitions=False,
            secrets_refresh=timedelta(0),
        ),
        watch=WatchOptions(
            probe_interval=timedelta(seconds=5),
            fall=4,
            duration=timedelta(seconds=20),
            second_path="//master-host:8000",
            one_path=True,
        ),
        failover=FailoverOptions(
            policy="approval",
            approval_timeout=timedelta(minutes=10),
            fencing="required",
            fence="my_site.fences.power_off",
            fence_timeout=timedelta(seconds=30),
            oldest_snapshot=timedelta(days=3),
            enable_batch=1,
            cool_down=timedelta(seconds=20),
            catch_up="start_missed",
            catch_up_jobs=("load_*",),
            on_master_return="fail_back",
            stable_for=timedelta(seconds=15),
        ),
        snapshots=SnapshotsOptions(location="s3://aws@bucket/x", keep=2),
        alerts=AlertsOptions(
            notify=(
                Notify(
                    notifier="my_site.Pager",
                    arguments={"to": ["ops"], "level": 5},
                    alerts=(Alert.FAILOVER, Alert.SPLIT_BRAIN),
                ),
                Notify(notifier="my_site.Log", alerts=tuple(Alert)),
            )
        ),
    )
    assert (pair.timezone_of(Role.MASTER), pair.timezone_of(Role.SLAVE)) == ("Europe/Madrid", "America/New_York")
    assert pair.scope == Scope(projects=("sales_*", "hr"), jobs=("load*",))
    assert pair.dag_id_sync == "denodo_scheduler_sync__emea-1.x"
    assert pair.dag_id_failover == "denodo_scheduler_failover__emea-1.x"
    assert pair.dag_id_switchover == "denodo_scheduler_switchover__emea-1.x"
    assert pair.dag_id_operations == "denodo_scheduler_operations__emea-1.x"
    assert pair.pool == "denodo_ha_emea-1.x"
    assert pair.asset_uri == "denodo-scheduler://emea-1.x"


def test_a_pair_without_options_has_the_defaults(file: Path) -> None:
    assert load(file, "pairs: {a: }") == load(file, "pairs: {a: {}}") == {"a": Pair(name="a")}


def test_own_options_win_over_defaults_group_by_group(file: Path) -> None:
    pairs = load(
        file,
        """
        defaults:
          tags: [ours]
          sync: {lease: 20m, orphans: delete, mass_change: {percent: 10, jobs: 7}}
          alerts: {notify: [{notifier: my_site.Pager, arguments: {to: ops}}]}
        pairs:
          a: {projects: [a], sync: {mass_change: {jobs: 9}}, alerts: {notify: [{notifier: my_site.Log}]}}
          b: {projects: [b], sync: {lease: 30m}, tags: [theirs]}
        """,
    )
    a, b = pairs["a"], pairs["b"]
    assert (a.tags, a.sync.lease, a.sync.orphans) == (("ours",), timedelta(minutes=20), "delete")
    assert (b.tags, b.sync.lease, b.sync.orphans) == (("theirs",), timedelta(minutes=30), "delete")
    assert a.sync.mass_change == MassChangeLimits(percent=10, jobs=9)
    assert b.sync.mass_change == MassChangeLimits(percent=10, jobs=7)
    assert a.alerts.notify == (Notify(notifier="my_site.Log"),), "a list is replaced as a whole"
    assert b.alerts.notify == (Notify(notifier="my_site.Pager", arguments={"to": "ops"}),)


def test_null_schedule_means_by_hand_only(file: Path) -> None:
    assert load(file, "pairs: {a: {sync: {schedule: null}}}")["a"].sync.schedule is None


def test_names_that_yaml_takes_for_something_else_stay_text(file: Path) -> None:
    assert list(load(file, "pairs: {on: {}, 007: {master: m, slave: s}}")) == ["on", "007"]


def test_pairs_may_share_their_servers(file: Path) -> None:
    assert len(load(file, "pairs: {a: {projects: [x]}, b: {projects: [y]}}")) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", ""),
        ("slave: dr", "slave: dr"),
        ("{master: m1, slave: dr}", "{master: m2, slave: dr}"),
        ("{master: m, slave: s1}", "{master: m, slave: s2}"),
        ("projects: [sales_*]", "projects: ['*_eu']"),
        ("projects: [Sales]", "projects: [hr, 'SALES']"),
        ("jobs: [a*]", "projects: [x]"),
        ("projects: ['sales[eu]']", "projects: ['sales[eu]']"),
    ],
)
def test_a_job_is_in_one_pair_only(file: Path, one: str, other: str) -> None:
    """Each of the two would disable what the other one has enabled."""
    values = [each if each.startswith("{") else f"{{{each}}}" for each in (one, other)]
    (found,) = mistakes(file, f"pairs:\n  a: {values[0]}\n  b: {values[1]}\n")
    assert found.startswith('3: pairs.b: may have jobs in common with pair "a" on the connection "')
    assert "Give it its own master and slave, or give the two different projects or jobs" in found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{projects: [sales_*]}", "{projects: [hr_*]}"),
        ("{projects: [x], jobs: [a*]}", "{projects: [x], jobs: [b*]}"),
        ("{projects: ['a?']}", "{projects: [a]}"),
        ("{master: m1, slave: s1}", "{master: m2, slave: s2}"),
        ("{master: m1, slave: dr, projects: [x]}", "{master: m2, slave: dr, projects: [y]}"),
    ],
)
def test_pairs_without_a_job_in_common(file: Path, one: str, other: str) -> None:
    assert len(load(file, f"pairs:\n  a: {one}\n  b: {other}\n")) == 2


@pytest.mark.parametrize("uri", ["//m:8000", "//10.0.0.1:8000", "//[fd00::1]:8000", "//[::1]:8000"])
def test_the_second_path_takes_what_a_connection_takes(file: Path, uri: str) -> None:
    assert server_uri(uri) == uri
    assert load(file, f'pairs: {{a: {{watch: {{second_path: "{uri}"}}}}}}')["a"].watch.second_path == uri


def test_all_mistakes_at_once_in_the_order_of_the_lines(file: Path) -> None:
    text = """\
default:
  lease: 1h
defaults:
  sync: {orphans: remove}
pairs:
  a b:
    quite_window: 5m
    sync:
      schedule: "@fortnightly"
      mass_change:
        percent: 120
        job: 3
    snapshots: {keep: 1}
  c:
    master: same
    slave: same
    sync: {lease: 5m, fall: 3}
    projects: sales
    watch: 5
    tags: [ok, 5]
"""
    presets = "@daily, @hourly, @monthly, @quarterly, @weekly, @yearly"
    allowed, of_sync = (", ".join(sorted(model.model_fields)) for model in (PairOptions, SyncOptions))
    assert mistakes(file, text) == [
        '1: default: is not an option; did you mean "defaults"? Allowed: defaults, pairs',
        "4: defaults.sync.orphans: must be 'report' or 'delete', not 'remove'",
        "6: pairs.a b: the name of a pair has 1 to 100 letters, digits, _ - . and nothing else, a letter or digit "
        "first",
        f'7: pairs.a b.quite_window: is not an option; did you mean "sync.quiet_window"? Allowed: {allowed}',
        f'9: pairs.a b.sync.schedule: must be a cron expression such as "0 * * * *", one of {presets}, or null for '
        "manual only; '@fortnightly' is none of these: it needs five fields",
        "11: pairs.a b.sync.mass_change.percent: must be at most 100, not 120",
        '12: pairs.a b.sync.mass_change.job: is not an option; did you mean "jobs"? Allowed: jobs, percent',
        "13: pairs.a b.snapshots.keep: must be at least 2, not 1",
        '16: pairs.c.slave: must differ from master; both are the connection "same"',
        f'17: pairs.c.sync.fall: is not an option; did you mean "watch.fall"? Allowed: {of_sync}',
        "17: pairs.c.sync.lease: 5m must be longer than import_timeout, which is 10m: an import that outlives its "
        "lease could meet the next operation",
        """18: pairs.c.projects: must be a list such as ["sales_*"], not 'sales'""",
        "19: pairs.c.watch: must be a mapping of keys to values, not 5",
        "20: pairs.c.tags.1: must be text, not 5",
    ]


MISTAKES = [
    ("sync.quiet_window: 5 minutes", "a duration such as 5m, 90s, 1h30m, PT5M or whole seconds, not '5 minutes'"),
    ("sync.quiet_window: 0", "must be longer than 0"),
    ("sync.quiet_margin: -1", "must not be negative"),
    ("sync.lease: true", "must be a duration such as 5m, 90s, 1h30m, PT5M or whole seconds, not True"),
    ("sync.lease: 10m", "10m must be longer than import_timeout, which is 10m: an import that outlives its lease"),
    ("sync.import_timeout: 1", None),
    ("sync.import_timeout: never", "must be a duration such as"),
    ("sync.schedule: 0 0 31 2 *", "is none of these: failed to find next date"),
    ("sync.schedule: 0 0 * * * *", "is none of these: it needs five fields"),
    ("sync.schedule: 61 * * * *", "is none of these: [61 * * * *] is not acceptable, out of range"),
    ("timezone: Europe/Madird", "must be a time zone such as Europe/Madrid, not 'Europe/Madird'; did you mean"),
    ("slave_timezone: Europe/Madird", "must be a time zone such as Europe/Madrid, not 'Europe/Madird'; did you mean"),
    ("sync.reprotect: always", "must be 'manual' or 'automatic', not 'always'"),
    ("timezone: ../../etc/passwd", "must be a time zone such as Europe/Madrid, not"),
    ("master: 5", "must be text, not 5"),
    ("master: ''", "must not be empty, not ''"),
    ("master: denodo_scheduler_slave", "both are the connection"),
    ("owner: ''", "must not be empty, not ''"),
    ("owner: null", "must be text, not None"),
    ("queue: [a]", "must be text, not a list"),
    ("projects: []", "must not be empty, not a list"),
    ("jobs: {a: b}", 'must be a list such as ["sales_*"], not a mapping'),
    ("sync.mass_change: 20", "must be a mapping such as {percent: 20, jobs: 5}, not 20"),
    ("snapshots.keep: true", "must be a whole number, not True"),
    ("snapshots.location: snapshots", "must be an absolute path, or a URL such as"),
    ("description: 2024-99-99", "cannot be read as timestamp: '2024-99-99'"),
    ("tags: !!python/name:os.system x", "cannot be read as"),
    ("watch.probe_interval: 0", "must be longer than 0"),
    ("watch.fall: 0", "must be at least 1, not 0"),
    ("watch.fall: 2.5", "must be a whole number, not 2.5"),
    ("watch.duration: 19s", "19s is too short: 4 probes (fall) every 5s (probe_interval) take 20s"),
    ("watch.second_path: master-host:8000", "auto, none, or the master's Scheduler server as the slave's web tool"),
    ("watch.second_path: //host", "such as //master-host:8000, not '//host'"),
    ("watch.second_path: http://host:9090", "such as //master-host:8000, not"),
    ("watch.one_path: 1", "must be true or false, not 1"),
    ("failover.policy: never", "must be 'automatic', 'approval' or 'manual', not 'never'"),
    ("failover.approval_timeout: soon", "must be a duration such as"),
    ("failover.fencing: maybe", "must be 'best_effort' or 'required', not 'maybe'"),
    ("failover.fence: power_off", "not 'power_off'"),
    ("failover.fence: my site.power_off", "not 'my site.power_off'"),
    ("failover.fence_timeout: -5s", "must be"),
    ("failover.on_master_return: fail back", "must be 'hold' or 'fail_back', not 'fail back'"),
    ("failover.stable_for: 0", "must be longer than 0"),
    ("failover.enable_batch: 0", "must be at least 1, not 0"),
    ("failover.catch_up: all", "must be 'none' or 'start_missed', not 'all'"),
    ("failover.catch_up_jobs: []", "must not be empty"),
    ("failover.cool_down: 39m", "39m must not be shorter than watch.duration, which is 40m: two failovers could"),
    ("failover.oldest_snapshot: 59m", "must not be shorter than the interval of the syncs, which is 1h: every"),
    ("alerts.notify: me@example.com", "must be a list"),
    ("name: b", "is not an option"),
    ("<<: {lease: 1h}", "is not an option"),
]


@pytest.mark.parametrize(("option", "message"), MISTAKES)
def test_each_kind_of_mistake_names_line_key_and_what_is_allowed(file: Path, option: str, message: str | None) -> None:
    place, _, value = option.partition(": ")
    *group, name = place.split(".")
    lines = ["pairs:", "  a:", *(f"    {each}:" for each in group), f"{'  ' * len(group)}    {name}: {value}", ""]
    text = "\n".join(lines)
    if message is None:
        assert load(file, text)
        return
    key = "slave" if "both are" in message else place
    line = 2 if key == "slave" else len(lines) - 1  # no slave is written in the file, so its pair is pointed at
    (found,) = mistakes(file, text)
    assert found.startswith(f"{line}: pairs.a.{key}: ")
    assert message in found


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("notifier: SmtpNotifier", "5: {}.0.notifier: ", "not 'SmtpNotifier'"),
        ("notifier: a.B\n          alerts: [failover, quench]", "6: {}.0.alerts.1: ", "'quenched'"),
        ("notifier: a.B\n          alerts: failover", "6: {}.0.alerts: ", "must be a list"),
        ("notifier: a.B\n          argument: {to: x}", "6: {}.0.argument: ", 'did you mean "arguments"?'),
        ("notifier: a.B\n          arguments: x", "6: {}.0.arguments: ", "not 'x'"),
        ("alerts: [failover]", "5: {}.0.notifier: ", ""),
    ],
    ids=["no class path", "unknown alert", "no list of alerts", "unknown key", "no arguments", "no notifier"],
)
def test_a_mistake_in_a_notifier_names_its_line(file: Path, line: str, where: str, message: str) -> None:
    (found,) = mistakes(file, f"pairs:\n  a:\n    alerts:\n      notify:\n        - {line}\n")
    assert found.startswith(where.format("pairs.a.alerts.notify"))
    assert message in found


@pytest.mark.parametrize(
    ("sync", "failover", "interval"),
    [("0 3 * * *", "12h", "1d"), ("0 8-20/2 * * *", "3h", "12h"), ("7,37 * * * *", "29m", "30m")],
)
def test_a_snapshot_cannot_be_too_old_before_the_next(file: Path, sync: str, failover: str, interval: str) -> None:
    text = f'pairs:\n  a:\n    sync: {{schedule: "{sync}"}}\n    failover: {{oldest_snapshot: {failover}}}\n'
    (found,) = mistakes(file, text)
    assert found.startswith(
        f"4: pairs.a.failover.oldest_snapshot: {failover} must not be shorter than the interval of the syncs, which is "
        f"{interval}"
    )


def test_groups_that_contradict_each_other_in_two_ways_are_two_mistakes(file: Path) -> None:
    text = """\
pairs:
  a:
    watch: {duration: 2h}
    failover:
      cool_down: 1h
      stable_for: 3h
      on_master_return: fail_back
"""
    assert [found.partition(" must ")[0] for found in mistakes(file, text)] == [
        "5: pairs.a.failover.cool_down: 1h",
        "6: pairs.a.failover.stable_for: 3h",
    ]


@pytest.mark.parametrize(
    "options",
    [
        "{watch: {probe_interval: 10s, fall: 3, duration: 30s}}",
        "{watch: {duration: 2h}, failover: {cool_down: 2h}}",
        "{watch: {duration: 5m}, failover: {stable_for: 10m}}",
        "{failover: {oldest_snapshot: 1h}}",
        "{sync: {schedule: null}, failover: {oldest_snapshot: 1m}}",
        "{watch: {second_path: none}}",
        "{failover: {fence: my_site.fences.power_off}}",
        "{alerts: {notify: []}}",
        "{sync: , watch: , failover: , snapshots: , alerts: }",
    ],
)
def test_what_just_makes_sense_is_accepted(file: Path, options: str) -> None:
    assert load(file, f"pairs: {{a: {options}}}")


@pytest.mark.parametrize(
    ("options", "option", "minutes"),
    [
        ({}, "sync.lease", 15),
        ({"import_timeout": "2m"}, "sync.lease", 15),
        ({"import_timeout": "12m"}, "sync.lease", 17),
        ({"import_timeout": "2h"}, "sync.lease", 125),
        ({"import_timeout": "2h", "lease": "3h"}, "sync.lease", 180),
        ({}, "watch.duration", 40),
        ({"probe_interval": "1m", "fall": 45}, "watch.duration", 45),
        ({"probe_interval": "1m", "fall": 45, "watch_for": "1h"}, "watch.duration", 60),
        ({}, "failover.cool_down", 60),
        ({"watch_for": "20m"}, "failover.cool_down", 60),
        ({"watch_for": "2h"}, "failover.cool_down", 120),
        ({"probe_interval": "1m", "fall": 90}, "failover.cool_down", 90),
        ({"watch_for": "2h", "cool_down": "3h"}, "failover.cool_down", 180),
        ({}, "failover.stable_for", 10),
        ({"watch_for": "5m", "on_master_return": "fail_back"}, "failover.stable_for", 5),
        ({"watch_for": "5m", "stable_for": "4m"}, "failover.stable_for", 4),
        ({}, "failover.oldest_snapshot", 120),
        ({"schedule": "*/10 * * * *"}, "failover.oldest_snapshot", 100),
        ({"schedule": "*/10 * * * *", "quiet_timeout": "10m"}, "failover.oldest_snapshot", 60),
        ({"schedule": "17 * * * *"}, "failover.oldest_snapshot", 120),
        ({"schedule": "@daily"}, "failover.oldest_snapshot", 48 * 60),
        ({"schedule": "0 8-20/2 * * *"}, "failover.oldest_snapshot", 24 * 60),
        ({"schedule": None}, "failover.oldest_snapshot", 24 * 60),
        ({"oldest_snapshot": "90m"}, "failover.oldest_snapshot", 90),
        ({"oldest_snapshot": None}, "failover.oldest_snapshot", 120),
    ],
    ids=str,
)
def test_durations_follow_from_others_unless_they_are_given(
    options: dict[str, object], option: str, minutes: int
) -> None:
    assert operator.attrgetter(option)(make_pair(**options)) == timedelta(minutes=minutes)


def test_they_follow_also_in_groups_that_are_built_apart() -> None:
    pair = Pair(name="a", watch=WatchOptions(duration=timedelta(hours=2)), failover=FailoverOptions(policy="manual"))
    assert (pair.failover.cool_down, pair.failover.policy) == (timedelta(hours=2), "manual")


def test_they_follow_from_defaults_and_own_options_together(file: Path) -> None:
    pairs = load(
        file, "defaults: {watch: {duration: 2h}}\npairs: {a: {jobs: [a]}, b: {jobs: [b], watch: {duration: 3h}}}\n"
    )
    assert [pair.failover.cool_down for pair in pairs.values()] == [timedelta(hours=2), timedelta(hours=3)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pairs:\n  a:\n    jobs: [x]\n    jobs: [y]\n", ["4: pairs.a.jobs: stands twice; first in line 3"]),
        ("pairs:\n  a: {}\n  b: {master: x, slave: y}\n  a: {}\n", ["4: pairs.a: stands twice; first in line 2"]),
        (
            "pairs:\n  a: {}\n  A: {master: x, slave: y}\n",
            ['3: pairs.A: differs from pair "a" only by case; choose another name'],
        ),
        ("pairs:\n  a: [x]\n", ["2: pairs.a: must be a mapping of keys to values, not a list"]),
        ("pairs:\n", ["1: pairs: names no pair; write at least `default: {}` under `pairs:`"]),
        ("- a\n", ["1: must be a mapping of keys to values, not a list"]),
        ("# nothing\n", ["1: is empty; it needs `pairs:` with at least one pair, such as", "pairs:", "  default: {}"]),
        ("", ["1: is empty; it needs `pairs:` with at least one pair, such as", "pairs:", "  default: {}"]),
    ],
)
def test_mistakes_of_structure(file: Path, text: str, expected: list[str]) -> None:
    assert mistakes(file, text) == expected


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("pairs:\n  a: {lease: 1h\n  b: {}\n", "3: is not valid YAML: "),
        ("pairs:\n\ta: {}\n", "2: is not valid YAML: "),
        ("pairs: {a: *missing}\n", "1: is not valid YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "2: is not valid YAML: "),
        ("pairs:\n  a: &a\n    tags: *a\n", "2: "),
    ],
)
def test_no_yaml_at_all(file: Path, text: str, start: str) -> None:
    found = mistakes(file, text)
    assert found[0].startswith(start)


def test_a_mistake_in_defaults_is_reported_once_and_there(file: Path) -> None:
    found = mistakes(file, "defaults:\n  sync: {lease: long}\npairs:\n  a: {}\n  b: {}\n")
    assert [line.partition(" must")[0] for line in found] == ["2: defaults.sync.lease:"]


def test_defaults_that_only_one_pair_contradicts_are_reported_at_the_pair(file: Path) -> None:
    found = mistakes(file, "defaults:\n  sync: {import_timeout: 12m}\npairs:\n  a: {}\n  b:\n    sync: {lease: 11m}\n")
    assert [line.partition(":")[0] for line in found] == ["6"]
    assert "pairs.b.sync.lease: 11m must be longer than import_timeout, which is 12m" in found[0]


def test_a_server_cannot_be_master_here_and_slave_there(file: Path) -> None:
    text = "pairs:\n  a: {master: x, slave: y}\n  b: {master: y, slave: z}\n"
    assert mistakes(file, text) == [
        '3: pairs.b.master: "y" is the slave of pair "a", whose sync disables its jobs; '
        "a server has one role in all pairs"
    ]


def test_a_missing_file_says_how_to_name_another(file: Path) -> None:
    with pytest.raises(PairsError) as caught:
        load_pairs(file)
    assert str(caught.value) == (
        f"{file}: the file of pairs cannot be read (No such file or directory). "
        "Create it, or name another one by DENODO_HA_PAIRS or, where that is not set, by the option `pairs` in "
        "Airflow's section [denodo_ha]."
    )


def test_a_folder_in_place_of_the_file_is_not_to_be_created(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"\(Is a directory\)\. It is a folder: name the file in it, or name another"):
        load_pairs(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_of_another_user(file: Path) -> None:
    file.write_text("pairs: {a: {}}")
    file.chmod(0)
    with pytest.raises(PairsError, match=r"Permission denied\)\. Let the user that Airflow runs as read it"):
        load_pairs(file)


def test_bytes_that_are_no_text(file: Path) -> None:
    file.write_bytes(b"pairs:\n  a:\n    description: \xe9t\xe9\n")
    with pytest.raises(PairsError, match=r"pairs\.yaml:3: is not UTF-8 text"):
        load_pairs(file)


def test_a_byte_order_mark_is_no_mistake(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfpairs: {a: {}}")
    assert list(load_pairs(file)) == ["a"]
