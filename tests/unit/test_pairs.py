from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from denodo_ha.decisions import Alert
from denodo_ha.pairs import MassChangeLimits, Notify, Pair, PairOptions, PairsError, load_pairs
from denodo_ha.scope import Scope

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
    uncommented = re.sub(r"^    # ", "    ", options, flags=re.MULTILINE)
    assert load(file, f"{head}  default:{uncommented}") == {"default": Pair(name="default")}
    assert set(yaml.safe_load(file.read_text(encoding="utf-8"))["pairs"]["default"]) == set(PairOptions.model_fields)


def test_every_option(file: Path) -> None:
    pair = load(
        file,
        """
        pairs:
          emea-1.x:
            description: Europe
            master: m
            slave: s
            schedule: "*/10 2-4 * * 1-5"
            projects: [sales_*, hr]
            jobs: ["load*"]
            quiet_window: 90s
            quiet_margin: 0
            quiet_timeout: PT1H
            timezone: Europe/Madrid
            lease: 1h30m
            import_timeout: 1h
            mass_change: {percent: 50, jobs: 1}
            orphans: delete
            probe_interval: 5s
            fall: 4
            watch_for: 20s
            second_path: //master-host:8000
            one_path: true
            failover: approval
            approval_timeout: 10m
            fencing: required
            fence: my_site.fences.power_off
            fence_timeout: 30s
            on_master_return: fail_back
            stable_for: 15s
            cool_down: 20s
            oldest_snapshot: 3d
            enable_batch: 1
            catch_up: start_missed
            catch_up_jobs: ["load_*"]
            notify:
              - notifier: my_site.Pager
                arguments: {to: [ops], level: 5}
                alerts: [failover, split_brain]
              - notifier: my_site.Log
            snapshots: s3://aws@bucket/x
            keep_snapshots: 2
            secrets_refresh: 0s
            verify_definitions: false
            tags: [a, b]
        """,
    )["emea-1.x"]
    assert pair == Pair(
        name="emea-1.x",
        description="Europe",
        master="m",
        slave="s",
        schedule="*/10 2-4 * * 1-5",
        projects=("sales_*", "hr"),
        jobs=("load*",),
        quiet_window=timedelta(seconds=90),
        quiet_margin=timedelta(0),
        quiet_timeout=timedelta(hours=1),
        timezone="Europe/Madrid",
        lease=timedelta(minutes=90),
        import_timeout=timedelta(hours=1),
        mass_change=MassChangeLimits(percent=50, jobs=1),
        orphans="delete",
        probe_interval=timedelta(seconds=5),
        fall=4,
        watch_for=timedelta(seconds=20),
        second_path="//master-host:8000",
        one_path=True,
        failover="approval",
        approval_timeout=timedelta(minutes=10),
        fencing="required",
        fence="my_site.fences.power_off",
        fence_timeout=timedelta(seconds=30),
        on_master_return="fail_back",
        stable_for=timedelta(seconds=15),
        cool_down=timedelta(seconds=20),
        oldest_snapshot=timedelta(days=3),
        enable_batch=1,
        catch_up="start_missed",
        catch_up_jobs=("load_*",),
        notify=(
            Notify(
                notifier="my_site.Pager",
                arguments={"to": ["ops"], "level": 5},
                alerts=(Alert.FAILOVER, Alert.SPLIT_BRAIN),
            ),
            Notify(notifier="my_site.Log", alerts=tuple(Alert)),
        ),
        snapshots="s3://aws@bucket/x",
        keep_snapshots=2,
        secrets_refresh=timedelta(0),
        verify_definitions=False,
        tags=("a", "b"),
    )
    assert pair.scope == Scope(projects=("sales_*", "hr"), jobs=("load*",))
    assert pair.dag_id_sync == "denodo_scheduler_sync__emea-1.x"
    assert pair.dag_id_failover == "denodo_scheduler_failover__emea-1.x"
    assert pair.dag_id_switchover == "denodo_scheduler_switchover__emea-1.x"
    assert pair.dag_id_operations == "denodo_scheduler_operations__emea-1.x"
    assert pair.look_uri == "denodo-scheduler-look://emea-1.x"
    assert pair.pool == "denodo_ha_emea-1.x"
    assert pair.asset_uri == "denodo-scheduler://emea-1.x"


def test_a_pair_without_options_has_the_defaults(file: Path) -> None:
    assert load(file, "pairs: {a: , b: {}}") == {"a": Pair(name="a"), "b": Pair(name="b")}


def test_own_options_win_over_defaults_also_inside_mass_change(file: Path) -> None:
    pairs = load(
        file,
        """
        defaults: {lease: 20m, mass_change: {percent: 10, jobs: 7}}
        pairs:
          a: {mass_change: {jobs: 9}}
          b: {lease: 30m}
        """,
    )
    assert (pairs["a"].lease, pairs["a"].mass_change) == (timedelta(minutes=20), MassChangeLimits(percent=10, jobs=9))
    assert (pairs["b"].lease, pairs["b"].mass_change) == (timedelta(minutes=30), MassChangeLimits(percent=10, jobs=7))


def test_null_schedule_means_by_hand_only(file: Path) -> None:
    assert load(file, "pairs: {a: {schedule: null}}")["a"].schedule is None


def test_names_that_yaml_takes_for_something_else_stay_text(file: Path) -> None:
    assert list(load(file, "pairs: {on: {}, 007: {}}")) == ["on", "007"]


def test_pairs_may_share_their_servers(file: Path) -> None:
    assert len(load(file, "pairs: {a: {projects: [x]}, b: {projects: [y]}}")) == 2


def test_all_mistakes_at_once_in_the_order_of_the_lines(file: Path) -> None:
    text = """\
default:
  lease: 1h
defaults:
  orphans: remove
pairs:
  a b:
    quite_window: 5m
    schedule: "@fortnightly"
    keep_snapshots: 1
    mass_change:
      percent: 120
      job: 3
  c:
    master: same
    slave: same
    lease: 5m
    projects: sales
    verify_definitions: "yes"
    tags: [ok, 5]
"""
    presets = "@daily, @hourly, @monthly, @quarterly, @weekly, @yearly"
    allowed = ", ".join(sorted(PairOptions.model_fields))
    assert mistakes(file, text) == [
        '1: default: is not an option; did you mean "defaults"? Allowed: defaults, pairs',
        "4: defaults.orphans: must be 'report' or 'delete', not 'remove'",
        "6: pairs.a b: the name of a pair has 1 to 100 letters, digits, _ - . and nothing else, a letter or digit "
        "first",
        f'7: pairs.a b.quite_window: is not an option; did you mean "quiet_window"? Allowed: {allowed}',
        f'8: pairs.a b.schedule: must be a cron expression such as "0 * * * *", one of {presets}, or null for manual '
        "only; '@fortnightly' is none of these: it needs five fields",
        "9: pairs.a b.keep_snapshots: must be at least 2, not 1",
        "11: pairs.a b.mass_change.percent: must be at most 100, not 120",
        '12: pairs.a b.mass_change.job: is not an option; did you mean "jobs"? Allowed: jobs, percent',
        "13: pairs.c.import_timeout: 10m must be shorter than lease, which is 5m: an import that outlives its lease "
        "could meet the next operation",
        '15: pairs.c.slave: must differ from master; both are the connection "same"',
        """17: pairs.c.projects: must be a list such as ["sales_*"], not 'sales'""",
        "18: pairs.c.verify_definitions: must be true or false, not 'yes'",
        "19: pairs.c.tags.1: must be text, not 5",
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("quiet_window: 5", None),
        (
            "quiet_window: 5 minutes",
            "must be a duration such as 5m, 90s, 1h30m, PT5M or whole seconds, not '5 minutes'",
        ),
        ("quiet_window: 0", "must be longer than 0"),
        ("quiet_margin: -1", "must not be negative"),
        ("lease: true", "must be a duration such as 5m, 90s, 1h30m, PT5M or whole seconds, not True"),
        (
            "import_timeout: 15m",
            "15m must be shorter than lease, which is 15m: an import that outlives its lease could",
        ),
        ("schedule: 0 0 31 2 *", "is none of these: failed to find next date"),
        ("schedule: 0 0 * * * *", "is none of these: it needs five fields"),
        ("schedule: 61 * * * *", "is none of these: [61 * * * *] is not acceptable, out of range"),
        ("timezone: Europe/Madird", "must be a time zone such as Europe/Madrid, not 'Europe/Madird'; did you mean"),
        ("timezone: ../../etc/passwd", "must be a time zone such as Europe/Madrid, not"),
        ("master: 5", "must be text, not 5"),
        ("master: ''", "must not be empty, not ''"),
        ("master: denodo_scheduler_slave", "both are the connection"),
        ("projects: []", "must not be empty, not a list"),
        ("jobs: {a: b}", 'must be a list such as ["sales_*"], not a mapping'),
        ("mass_change: 20", "must be a mapping such as {percent: 20, jobs: 5}, not 20"),
        ("keep_snapshots: true", "must be a whole number, not True"),
        ("description: 2024-99-99", "cannot be read as timestamp: '2024-99-99'"),
        ("tags: !!python/name:os.system x", "cannot be read as"),
        ("probe_interval: 0", "must be longer than 0"),
        ("fall: 0", "must be at least 1, not 0"),
        ("fall: 2.5", "must be a whole number, not 2.5"),
        (
            "second_path: master-host:8000",
            "must be auto, none, or the master's Scheduler server as the slave's web tool",
        ),
        ("second_path: //host", "such as //master-host:8000, not '//host'"),
        ("second_path: http://host:9090", "such as //master-host:8000, not"),
        ("one_path: 1", "must be true or false, not 1"),
        ("failover: never", "must be 'automatic', 'approval' or 'manual', not 'never'"),
        ("approval_timeout: soon", "must be a duration such as"),
        ("fencing: maybe", "must be 'best_effort' or 'required', not 'maybe'"),
        ("fence: power_off", "not 'power_off'"),
        ("fence: my site.power_off", "not 'my site.power_off'"),
        ("fence_timeout: -5s", "must be"),
        ("on_master_return: fail back", "must be 'hold' or 'fail_back', not 'fail back'"),
        ("stable_for: 0", "must be longer than 0"),
        ("enable_batch: 0", "must be at least 1, not 0"),
        ("catch_up: all", "must be 'none' or 'start_missed', not 'all'"),
        ("catch_up_jobs: []", "must not be empty"),
        ("notify: me@example.com", "must be a list"),
        ("watch_for: 19s", "19s is too short: 4 probes (fall) every 5s (probe_interval) take 20s"),
        ("cool_down: 39m", "39m must not be shorter than watch_for, which is 40m: two failovers could follow"),
        ("oldest_snapshot: 59m", "59m must not be shorter than the interval of the syncs, which is 1h: every snapshot"),
        ("name: b", "is not an option"),
        ("<<: {lease: 1h}", "is not an option"),
    ],
)
def test_each_kind_of_mistake_names_line_key_and_what_is_allowed(file: Path, option: str, message: str | None) -> None:
    text = f"pairs:\n  a:\n    {option}\n"
    if message is None:
        assert load(file, text)
        return
    key = "slave" if "both are" in message else option.partition(":")[0]
    line = 2 if key == "slave" else 3  # the slave is not written in the file, so its pair is pointed at
    (found,) = mistakes(file, text)
    assert found.startswith(f"{line}: pairs.a.{key}: ")
    assert message in found


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("notifier: SmtpNotifier", "5: pairs.a.notify.0.notifier: ", "not 'SmtpNotifier'"),
        ("notifier: a.B\n        alerts: [failover, quench]", "6: pairs.a.notify.0.alerts.1: ", "'quenched'"),
        ("notifier: a.B\n        alerts: failover", "6: pairs.a.notify.0.alerts: ", "must be a list"),
        ("notifier: a.B\n        argument: {to: x}", "6: pairs.a.notify.0.argument: ", 'did you mean "arguments"?'),
        ("notifier: a.B\n        arguments: x", "6: pairs.a.notify.0.arguments: ", "not 'x'"),
        ("alerts: [failover]", "5: pairs.a.notify.0.notifier: ", ""),
    ],
    ids=["no class path", "unknown alert", "no list of alerts", "unknown key", "no arguments", "no notifier"],
)
def test_a_mistake_in_a_notifier_names_its_line(file: Path, line: str, where: str, message: str) -> None:
    (found,) = mistakes(file, f"pairs:\n  a:\n    tags: []\n    notify:\n      - {line}\n")
    assert found.startswith(where)
    assert message in found


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("probe_interval: 1m\n    fall: 41", "2: pairs.a.watch_for: 40m is too short: 41 probes (fall) every 1m"),
        ("watch_for: 2h", "2: pairs.a.cool_down: 1h must not be shorter than watch_for, which is 2h"),
        (
            'oldest_snapshot: 12h\n    schedule: "0 3 * * *"',
            "3: pairs.a.oldest_snapshot: 12h must not be shorter than the interval of the syncs, which is 1d",
        ),
        (
            'oldest_snapshot: 3h\n    schedule: "0 8-20/2 * * *"',
            "3: pairs.a.oldest_snapshot: 3h must not be shorter than the interval of the syncs, which is 12h",
        ),
    ],
)
def test_a_default_that_the_other_options_make_senseless_is_a_mistake(file: Path, options: str, line: str) -> None:
    (found,) = mistakes(file, f"pairs:\n  a:\n    {options}\n")
    assert found.startswith(line)


@pytest.mark.parametrize(
    "options",
    [
        "{probe_interval: 10s, fall: 3, watch_for: 30s}",
        "{watch_for: 2h, cool_down: 2h}",
        "{oldest_snapshot: 1h}",
        "{oldest_snapshot: 1m, schedule: null}",
        "{second_path: none}",
        "{fence: my_site.fences.power_off}",
        "{notify: []}",
    ],
)
def test_what_just_makes_sense_is_accepted(file: Path, options: str) -> None:
    assert load(file, f"pairs: {{a: {options}}}")


@pytest.mark.parametrize(
    ("options", "hours"),
    [
        ({}, 2),
        ({"schedule": "*/10 * * * *"}, 1),
        ({"schedule": "@daily"}, 48),
        ({"schedule": "0 8-20/2 * * *"}, 24),
        ({"schedule": None}, 24),
        ({"oldest_snapshot": "90m"}, 1.5),
    ],
    ids=str,
)
def test_how_long_a_snapshot_can_be_promoted(options: dict[str, object], hours: float) -> None:
    assert Pair.model_validate({"name": "a", **options}).promotable_for == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pairs:\n  a:\n    lease: 1h\n    lease: 2h\n", ["4: pairs.a.lease: stands twice; first in line 3"]),
        ("pairs:\n  a: {}\n  b: {}\n  a: {}\n", ["4: pairs.a: stands twice; first in line 2"]),
        ("pairs:\n  a: {}\n  A: {}\n", ['3: pairs.A: differs from pair "a" only by case; choose another name']),
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
    found = mistakes(file, "defaults:\n  lease: long\npairs:\n  a: {}\n  b: {}\n")
    assert [line.partition(" must")[0] for line in found] == ["2: defaults.lease:"]


def test_defaults_that_only_one_pair_contradicts_are_reported_at_the_pair(file: Path) -> None:
    found = mistakes(file, "defaults:\n  import_timeout: 12m\npairs:\n  a: {}\n  b:\n    lease: 11m\n")
    assert [line.partition(":")[0] for line in found] == ["5"]
    assert "pairs.b.import_timeout: 12m must be shorter than lease, which is 11m" in found[0]


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
        "Create it, or let the environment variable DENODO_HA_PAIRS name another one."
    )


def test_bytes_that_are_no_text(file: Path) -> None:
    file.write_bytes(b"pairs:\n  a:\n    description: \xe9t\xe9\n")
    with pytest.raises(PairsError, match=r"pairs\.yaml:3: is not UTF-8 text"):
        load_pairs(file)


def test_a_byte_order_mark_is_no_mistake(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfpairs: {a: {}}")
    assert list(load_pairs(file)) == ["a"]
