"""Where the file of pairs is, one pair of it, and options of earlier versions, which had no groups."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from denodo_ha import pairs_file
from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import FLAT, GROUPS, NO_FILE, PairsError, load_pairs, pairs_path
from denodo_scheduler import settings
from denodo_scheduler.settings import configured_pairs

FLAT_OPTIONS = {
    "schedule": '"@daily"',
    "quiet_window": "90s",
    "quiet_margin": "40s",
    "quiet_timeout": "1h",
    "lease": "1h",
    "initialise": "automatic",
    "import_timeout": "5m",
    "mass_change": "{jobs: 9}",
    "orphans": "delete",
    "verify_definitions": "false",
    "secrets_refresh": "1h",
    "probe_interval": "7s",
    "fall": "5",
    "watch_for": "30m",
    "second_path": "none",
    "one_path": "true",
    "failover": "approval",
    "approval_timeout": "2h",
    "fencing": "required",
    "fence": "my_site.off",
    "fence_timeout": "2m",
    "oldest_snapshot": "3h",
    "enable_batch": "5",
    "cool_down": "2h",
    "catch_up": "start_missed",
    "catch_up_jobs": "[a]",
    "on_master_return": "fail_back",
    "stable_for": "5m",
    "snapshots": "/srv/denodo",
    "keep_snapshots": "7",
    "notify": "[{notifier: a.B}]",
}
"""Each option that stood directly under the pair, with a value that is not its default."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pairs.yaml"


def load(file: Path, text: str, only: str | None = None) -> dict[str, Pair]:
    file.write_text(text, encoding="utf-8")
    return load_pairs(file, only)


def mistakes(file: Path, text: str, only: str | None = None) -> list[str]:
    """Lines of the error, without the path of the file."""
    with pytest.raises(PairsError) as caught:
        load(file, text, only)
    return [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()[1:]]


class TestFlatOptions:
    def test_all_have_a_place_in_a_group(self) -> None:
        assert set(FLAT_OPTIONS) == set(FLAT)
        in_groups = {f"{group}.{name}" for group, model in GROUPS.items() for name in model.model_fields}
        assert set(FLAT.values()) <= in_groups

    @pytest.mark.parametrize(("option", "value"), FLAT_OPTIONS.items(), ids=FLAT_OPTIONS)
    def test_each_is_read_and_warned_of(
        self, file: Path, caplog: pytest.LogCaptureFixture, option: str, value: str
    ) -> None:
        group, name = FLAT[option].split(".")
        grouped = load(file, f"pairs:\n  a:\n    {group}:\n      {name}: {value}\n")
        assert grouped != {"a": Pair(name="a")}
        assert caplog.records == []

        assert load(file, f"pairs:\n  a:\n    {option}: {value}\n") == grouped
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.message.splitlines()[1:] == [f"{file}:3: pairs.a.{option} is now {group}.{name}"]

        assert load(file, f"defaults:\n  {option}: {value}\npairs:\n  a: {{}}\n") == grouped
        assert caplog.messages[-1].splitlines()[1:] == [f"{file}:2: defaults.{option} is now {group}.{name}"]

    @pytest.mark.parametrize("option", [option for option in FLAT if option not in GROUPS])
    def test_given_in_both_places_is_a_mistake_that_names_both_lines(self, file: Path, option: str) -> None:
        value, (group, name) = FLAT_OPTIONS[option], FLAT[option].split(".")
        flat, grouped = f"    {option}: {value}\n", f"    {group}:\n      {name}: {value}\n"
        expected = "{}: pairs.a.{}: stands twice: it is {}.{} now, which is in line {}; keep that"
        assert mistakes(file, f"pairs:\n  a:\n{flat}{grouped}") == [expected.format(3, option, group, name, 5)]
        assert mistakes(file, f"pairs:\n  a:\n{grouped}{flat}") == [expected.format(5, option, group, name, 4)]

    def test_one_that_is_a_group_too_cannot_be_both(self, file: Path) -> None:
        text = "pairs:\n  a:\n    failover: manual\n    failover:\n      policy: manual\n"
        assert mistakes(file, text) == ["4: pairs.a.failover: stands twice; first in line 3"]

    def test_all_warnings_are_one_record(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        others = "  b: {master: m, slave: s}\n"
        load(file, f"defaults:\n  lease: 1h\npairs:\n  a:\n    fall: 3\n    sync: {{orphans: delete}}\n{others}")
        (message,) = caplog.messages
        assert message.splitlines() == [
            f"{file}: options of earlier versions are still read, but move them:",
            f"{file}:2: defaults.lease is now sync.lease",
            f"{file}:5: pairs.a.fall is now watch.fall",
        ]

    def test_the_old_timezone_is_the_masters(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        pair = load(file, "pairs:\n  a:\n    timezone: Europe/Madrid\n")["a"]
        assert (pair.master_timezone, pair.slave_timezone) == ("Europe/Madrid", None)
        (message,) = caplog.messages
        assert message.splitlines()[1:] == [f"{file}:3: pairs.a.timezone is now master_timezone"]
        (found,) = mistakes(file, "pairs:\n  a:\n    timezone: Asia/Tokyo\n    master_timezone: Asia/Tokyo\n")
        assert found == "3: pairs.a.timezone: stands twice: it is master_timezone now, which is in line 4; keep that"

    def test_they_join_those_of_the_group_and_of_the_defaults(self, file: Path) -> None:
        pair = load(
            file,
            """
            defaults:
              keep_snapshots: 5
              snapshots: /srv/all
              sync: {mass_change: {percent: 10}}
            pairs:
              a:
                snapshots: {location: /srv/a}
                mass_change: {jobs: 9}
                sync: {quiet_window: 90s}
                lease: 30m
            """,
        )["a"]
        assert (pair.snapshots.location, pair.snapshots.keep) == ("/srv/a", 5)
        assert (pair.sync.mass_change.percent, pair.sync.mass_change.jobs) == (10, 9)
        assert (pair.sync.quiet_window.seconds, pair.sync.lease.seconds) == (90, 1800)

    def test_null_of_old_undoes_a_default_and_an_empty_group_does_not(self, file: Path) -> None:
        text = "defaults: {{snapshots: {{location: /srv/all}}}}\npairs:\n  a:\n    snapshots:{}\n"
        assert load(file, text.format(" null"))["a"].snapshots.location is None
        assert load(file, text.format(""))["a"].snapshots.location == "/srv/all"

    @pytest.mark.parametrize(
        ("options", "mistake"),
        [
            ("quiet_window: soon", "quiet_window: must be a duration such as"),
            ("mass_change: {percent: 120}", "mass_change.percent: must be at most 100"),
            ("failover: never", "failover: must be 'automatic', 'approval' or 'manual', not 'never'"),
            ("failover: null", "failover: must be 'automatic', 'approval' or 'manual', not None"),
            ("failover: [manual]", "failover: must be 'automatic', 'approval' or 'manual', not a list"),
            ("cool_down: 39m", "cool_down: 39m must not be shorter than watch.duration, which is 40m"),
            ("notify: [{notifier: mail}]", "notify.0.notifier: must be the path of a class"),
            ("snapshots: here", "snapshots: must be an absolute path"),
            ("name: b", "name: is not an option"),
        ],
    )
    def test_a_mistake_in_one_names_it_as_it_is_written(self, file: Path, options: str, mistake: str) -> None:
        (found,) = mistakes(file, f"pairs:\n  a:\n    {options}\n")
        assert found.startswith(f"3: pairs.a.{mistake}")

    def test_beside_a_group_that_is_none(self, file: Path) -> None:
        (found,) = mistakes(file, "pairs:\n  a:\n    sync: 5\n    lease: 1h\n")
        assert found == "3: pairs.a.sync: must be a mapping of keys to values, not 5"

    def test_a_mistake_of_the_defaults_is_reported_once(self, file: Path) -> None:
        (found,) = mistakes(file, "defaults:\n  lease: long\npairs:\n  a: {}\n  b: {sync: {orphans: delete}}\n")
        assert found.startswith("2: defaults.lease: must be a duration")


class TestUnknownOptions:
    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("quite_window: 5m", "sync.quiet_window"),
            ("policy: manual", "failover.policy"),
            ("failovr: manual", "failover"),
            ("ownr: me", "owner"),
            ("sync: {fall: 3}", "watch.fall"),
            ("sync: {quite_window: 5m}", "quiet_window"),
            ("watch: {watch_for: 20m}", "watch.duration"),
            ("snapshots: {keep_snapshots: 3}", "snapshots.keep"),
            ("alerts: {notifyy: []}", "notify"),
            ("failover: {failover: manual}", "failover.policy"),
            ("sync: {mass_change: {percnt: 1}}", "percent"),
        ],
    )
    def test_the_right_one_is_proposed_from_whatever_group(self, file: Path, written: str, meant: str) -> None:
        (found,) = mistakes(file, f"pairs:\n  a:\n    {written}\n")
        assert f'is not an option; did you mean "{meant}"? Allowed: ' in found

    def test_what_is_like_nothing(self, file: Path) -> None:
        (found,) = mistakes(file, "pairs:\n  a:\n    sync: {zzz: 1}\n")
        assert found.startswith("3: pairs.a.sync.zzz: is not an option. Allowed: import_timeout, initialise, lease, ")


class TestOneOfMany:
    TEXT = """\
defaults: {sync: {lease: 30m}}
pairs:
  good: {master: x, slave: y, fall: 3}
  bad:
    sync: {orphans: keep, orphans: delete}
    watch: {fall: none}
  good_too: {master: y, slave: z}
  BAD: {}
"""

    def test_the_others_are_not_looked_at(self, file: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert len(mistakes(file, self.TEXT)) == 4
        caplog.clear()
        for name in ("good", "good_too"):
            pairs = load(file, self.TEXT, only=name)
            assert list(pairs) == [name]
            assert pairs[name].sync.lease.seconds == 1800
        assert caplog.records == [], "the DAG processor has said it; every task would say it again"

    def test_it_is_what_the_whole_file_gives(self, file: Path) -> None:
        text = (
            "defaults: {fall: 3}\npairs:\n  a: {sync: {lease: 1h}}\n  b: {master: m, slave: s, watch: {duration: 2h}}\n"
        )
        assert load(file, text, only="b") == {"b": load(file, text)["b"]}

    def test_its_own_mistakes_and_those_of_the_defaults_are_reported(self, file: Path) -> None:
        assert [line.partition(" ")[0] for line in mistakes(file, self.TEXT, only="bad")] == ["5:", "6:"]
        assert mistakes(file, self.TEXT.replace("30m", "long"), only="good")[0].startswith("1: defaults.sync.lease: ")
        assert "not valid YAML" in mistakes(file, self.TEXT + "}", only="good")[0]

    def test_a_pair_that_the_file_does_not_have(self, file: Path) -> None:
        assert load(file, self.TEXT, only="gone") == {}


class TestWhere:
    def test_the_environment_says_so(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DENODO_HA_PAIRS", str(file))
        file.write_text("pairs: {a: {}, b: {master: m, slave: s}}")
        assert pairs_path() == pairs_path("/airflow/says/so.yaml") == file
        assert list(configured_pairs()) == ["a", "b"]
        assert list(configured_pairs("b")) == ["b"]

    @pytest.mark.parametrize("value", [None, ""])
    def test_otherwise_the_projects_own(self, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
        monkeypatch.delenv("DENODO_HA_PAIRS", raising=False)
        if value is not None:
            monkeypatch.setenv("DENODO_HA_PAIRS", value)
        assert pairs_path() == Path(__file__).parents[2] / "include" / "pairs.yaml"
        assert pairs_path("/airflow/says/so.yaml") == Path("/airflow/says/so.yaml")
        assert list(configured_pairs()) == ["default"]

    def test_airflow_says_so(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DENODO_HA_PAIRS", raising=False)
        monkeypatch.setenv("AIRFLOW__DENODO_HA__PAIRS", str(file))
        file.write_text("pairs: {a: {}}")
        assert list(configured_pairs()) == ["a"]

    @pytest.mark.parametrize("written", ["{folder}/p.yaml", "~/p.yaml", "$HOME/p.yaml", " {folder}/p.yaml\n", "p.yaml"])
    @pytest.mark.parametrize("name", ["DENODO_HA_PAIRS", "AIRFLOW__DENODO_HA__PAIRS"])
    def test_a_path_means_the_same_wherever_it_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, written: str
    ) -> None:
        """Also for the command, which asks Airflow only where it has to."""
        monkeypatch.delenv("DENODO_HA_PAIRS", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv(name, written.format(folder=tmp_path))
        assert settings.pairs_path() == tmp_path / "p.yaml"
        if name == "DENODO_HA_PAIRS":
            assert pairs_path() == tmp_path / "p.yaml"

    def test_blanks_name_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DENODO_HA_PAIRS", " \n")
        assert pairs_path("/airflow/says/so.yaml") == Path("/airflow/says/so.yaml")

    def test_nothing_does_in_a_wheel(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DENODO_HA_PAIRS", raising=False)
        monkeypatch.setattr(pairs_file, "TEMPLATE", file)
        assert pairs_path() is None
        with pytest.raises(PairsError, match=re.escape(NO_FILE)):
            configured_pairs()
