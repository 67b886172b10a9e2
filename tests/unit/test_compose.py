"""The compose file, what ``make env`` writes for it, and what of the Dockerfile can be told without an engine."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.fernet import Fernet

from denodo_demo.airflow import PROJECT
from denodo_demo.slowness import allow
from denodo_ha.pairs_file import load_pairs

PROFILES = ("standin", "celery", "s3", "monitoring")
AIRFLOW = ("airflow-init", "api-server", "scheduler", "dag-processor", "triggerer", "worker-1", "worker-2")
STANDINS = ("standin-master", "standin-master-webtool", "standin-slave", "standin-slave-webtool")
ENDS = ("airflow-init", "standin-jobs")
REQUIRED = (
    "ADMIN_PASSWORD",
    "FERNET_KEY",
    "JWT_SECRET",
    "API_SECRET_KEY",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "STANDIN_PASSWORD",
)

Values = dict[str, str]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what ``make env`` and ``docker compose config`` need of the project, and without a .env."""
    for name in ("docker-compose.yaml", "Makefile"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "deploy", tmp_path / "deploy")
    return tmp_path


def run(clone: Path, *command: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", str(clone)), **(variables or {})}
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, check=False, timeout=allow(60))


def make_env(clone: Path) -> Values:
    done = run(clone, "make", "env")
    assert done.returncode == 0, done.stderr
    return values(clone)


def values(clone: Path) -> Values:
    lines = (clone / ".env").read_text().splitlines()
    named = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value.strip("'") for name, value in named}


@pytest.fixture(scope="session")
def compose() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip(
            "needs the program docker with its plugin compose, 2.24 or newer (on Debian 13: docker-compose); no engine"
        )


def services() -> dict[str, dict[str, Any]]:
    """The services as the file has them, with anchors and merges resolved and variables not."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())["services"]
    return found


def waits(service: Mapping[str, Any], name: str) -> bool:
    return name in service.get("depends_on", {})


@pytest.mark.usefixtures("compose")
class TestConfig:
    @pytest.mark.parametrize(
        "profiles",
        [chosen for count in range(len(PROFILES) + 1) for chosen in itertools.combinations(PROFILES, count)],
        ids=lambda chosen: "+".join(chosen) or "none",
    )
    def test_each_combination_of_profiles(self, clone: Path, profiles: tuple[str, ...]) -> None:
        make_env(clone)
        done = run(clone, "docker", "compose", "config", "-q", variables={"COMPOSE_PROFILES": ",".join(profiles)})
        assert (done.returncode, done.stderr) == (0, "")

    def test_what_make_env_wrote_reaches_airflow_whole(self, clone: Path) -> None:
        written = make_env(clone)
        done = run(clone, "docker", "compose", "config", "--format", "json")
        config = json.loads(done.stdout)
        for name in ("scheduler", "triggerer"):
            environment = config["services"][name]["environment"]
            assert environment["AIRFLOW__CORE__FERNET_KEY"] == written["FERNET_KEY"]
            connection = json.loads(environment["AIRFLOW_CONN_DENODO_SCHEDULER_MASTER"])
            assert connection["host"] in config["services"]
            assert connection["password"] == written["STANDIN_PASSWORD"]
        assert config["services"]["api-server"]["environment"]["ADMIN_PASSWORD"] == written["ADMIN_PASSWORD"]
        assert "worker-1" not in config["services"]

    @pytest.mark.parametrize("missing", REQUIRED)
    def test_a_missing_secret_is_named_together_with_what_to_do(self, clone: Path, missing: str) -> None:
        variables = {name: "x" for name in REQUIRED if name != missing}
        done = run(clone, "docker", "compose", "config", "-q", variables=variables)
        assert done.returncode != 0
        assert f"{missing} is missing a value: run make env" in done.stderr

    def test_more_connections_and_settings_need_no_change_of_the_file(self, clone: Path) -> None:
        make_env(clone)
        with (clone / ".env").open("a") as file:
            file.write('AIRFLOW_CONN_MINE=\'{"conn_type": "http", "password": "a$b"}\'\nEXECUTOR=CeleryExecutor\n')
        done = run(clone, "docker", "compose", "--profile", "celery", "config", "--format", "json")
        for name in ("scheduler", "worker-2"):
            environment = json.loads(done.stdout)["services"][name]["environment"]
            # Compose doubles the $ in what it prints.
            assert environment["AIRFLOW_CONN_MINE"].replace("$$", "$") == '{"conn_type": "http", "password": "a$b"}'
            assert environment["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


@pytest.mark.usefixtures("compose")
class TestMonitoring:
    def test_metrics_go_where_they_are_listened_to(self, clone: Path) -> None:
        make_env(clone)
        with (clone / ".env").open("a") as file:
            file.write("COMPOSE_PROFILES=standin,monitoring\nAIRFLOW__METRICS__STATSD_ON=True\n")
        done = run(clone, "docker", "compose", "config", "--format", "json")
        config = json.loads(done.stdout)["services"]
        for name in ("scheduler", "triggerer"):
            environment = config[name]["environment"]
            assert environment["AIRFLOW__METRICS__STATSD_ON"] == "True"
            assert environment["AIRFLOW__METRICS__STATSD_HOST"] in config
            assert config[name]["depends_on"]["statsd-exporter"]["condition"] == "service_healthy"
        for name in ("statsd-exporter", "prometheus", "grafana"):
            sources = [each["source"] for each in config[name]["volumes"] if each["type"] == "bind"]
            assert sources
            assert all(Path(source).exists() for source in sources)
            assert re.search(r":v?\d+\.\d+\.\d+$", config[name]["image"]), "a pinned version"

    def test_without_the_profile_nothing_is_sent(self, clone: Path) -> None:
        make_env(clone)
        done = run(clone, "docker", "compose", "config", "--format", "json")
        config = json.loads(done.stdout)["services"]
        assert config["triggerer"]["environment"]["AIRFLOW__METRICS__STATSD_ON"] == "False"
        assert "statsd-exporter" not in config


class TestEnv:
    def test_it_is_for_our_eyes_only_and_has_every_secret(self, clone: Path) -> None:
        written = make_env(clone)
        assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600
        assert all(len(written[name]) >= 20 for name in REQUIRED)
        Fernet(written["FERNET_KEY"])

    def test_secrets_are_fresh_and_none_is_used_twice(self, clone: Path) -> None:
        first = make_env(clone)
        (clone / ".env").unlink()
        second = make_env(clone)
        secrets = [written[name] for written in (first, second) for name in REQUIRED]
        assert len(set(secrets)) == len(secrets)

    def test_one_that_exists_stays_and_it_says_so(self, clone: Path) -> None:
        (clone / ".env").write_text("MINE=1\n")
        done = run(clone, "make", "env")
        assert "There is a .env already" in done.stderr
        assert (clone / ".env").read_text() == "MINE=1\n"

    def test_it_prints_no_secret(self, clone: Path) -> None:
        done = run(clone, "make", "env")
        printed = done.stdout + done.stderr
        assert not [name for name in REQUIRED if values(clone)[name] in printed]

    def test_git_and_the_image_leave_it_out(self) -> None:
        assert ".env" in (PROJECT / ".gitignore").read_text().splitlines()
        ignored = (PROJECT / ".dockerignore").read_text().splitlines()
        assert "*" in ignored
        assert not [line for line in ignored if line.startswith("!") and "env" in line]


class TestServices:
    @pytest.mark.parametrize("name", services())
    def test_each_is_limited_unprivileged_and_starts_again(self, name: str) -> None:
        service = services()[name]
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
        assert str(service["user"]).split(":")[0] not in ("", "0", "root")
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["restart"] == ("on-failure:3" if name in ENDS else "unless-stopped")
        assert service["logging"]["options"]["max-size"]

    @pytest.mark.parametrize("name", services())
    def test_each_has_a_health_check_or_is_waited_for_until_it_ends(self, name: str) -> None:
        check = services()[name]["healthcheck"]
        if name in ENDS:
            assert check == {"disable": True}
            conditions = [each["depends_on"][name]["condition"] for each in services().values() if waits(each, name)]
            assert set(conditions) == {"service_completed_successfully"}
        else:
            assert check["test"]
            assert check["timeout"]
            assert check["retries"]

    def test_what_is_depended_on_is_healthy_or_done(self) -> None:
        for service in services().values():
            for name, how in service.get("depends_on", {}).items():
                wanted = "service_completed_successfully" if name in ENDS else "service_healthy"
                assert how["condition"] == wanted

    @pytest.mark.parametrize("name", AIRFLOW)
    def test_airflow_starts_on_a_database_that_is_there_and_keeps_its_logs(self, name: str) -> None:
        service = services()[name]
        assert waits(service, "postgres")
        assert waits(service, "airflow-init") or name == "airflow-init"
        assert [volume for volume in service["volumes"] if str(volume).endswith(":/opt/airflow/logs")]

    def test_the_api_server_reads_the_snapshots_and_does_not_write_them(self) -> None:
        [written] = [each for each in services()["scheduler"]["volumes"] if str(each).startswith("snapshots:")]
        assert f"{written}:ro" in services()["api-server"]["volumes"]

    def test_the_workers_share_no_disk(self) -> None:
        first, second = (
            {volume.split(":")[0] for volume in services()[name]["volumes"] if isinstance(volume, str)}
            for name in ("worker-1", "worker-2")
        )
        others = {
            str(volume).split(":")[0]
            for name, service in services().items()
            if not name.startswith("worker")
            for volume in service.get("volumes", ())
        }
        assert first
        assert second
        assert not first & second
        assert not (first | second) & others

    def test_only_what_people_look_at_is_seen_from_outside_and_by_default_from_this_machine(self) -> None:
        published = {name: service["ports"] for name, service in services().items() if "ports" in service}
        assert list(published) == ["api-server", "prometheus", "grafana"]
        assert all(each[0].startswith("${AIRFLOW_ADDRESS:-127.0.0.1}:") for each in published.values())

    def test_profiles(self) -> None:
        profiles = {name: service.get("profiles") for name, service in services().items()}
        assert [name for name, chosen in profiles.items() if chosen == ["standin"]] == [*STANDINS, "standin-jobs"]
        assert [name for name, chosen in profiles.items() if chosen == ["celery"]] == ["redis", "worker-1", "worker-2"]
        assert [name for name, chosen in profiles.items() if chosen == ["s3"]] == ["s3"]
        monitoring = [name for name, chosen in profiles.items() if chosen == ["monitoring"]]
        assert monitoring == ["statsd-exporter", "prometheus", "grafana"]

    def test_no_command_line_shows_a_secret(self) -> None:
        for service in services().values():
            lines = json.dumps([service.get(key) for key in ("command", "entrypoint", "healthcheck")])
            assert not re.search(r"(?<!\$)\$\{", lines), "expanded by compose, so anybody reads it in the process list"

    def test_the_image_is_built_once(self) -> None:
        assert [name for name, service in services().items() if "build" in service] == ["airflow-init"]


@pytest.mark.parametrize("folder", ["standin", "standin-s3"])
def test_the_pairs_of_the_containers_are_good(folder: str) -> None:
    (pair,) = load_pairs(PROJECT / "deploy" / "compose" / folder / "pairs.yaml").values()
    assert (pair.name, pair.master, pair.slave) == ("default", "denodo_scheduler_master", "denodo_scheduler_slave")
    assert (pair.snapshots.location or "").startswith("s3://") == (folder == "standin-s3")


def test_the_image_starts_from_an_argument_installs_by_hash_and_is_not_root() -> None:
    lines = (PROJECT / "Dockerfile").read_text()
    assert "ARG AIRFLOW_IMAGE=apache/airflow:3.3.2\nFROM ${AIRFLOW_IMAGE}\n" in lines
    assert re.findall(r"^USER (.+)$", lines, re.M) == ["airflow"]
    assert "--require-hashes" in lines
    assert "--no-deps" in lines


def test_the_values_for_the_helm_chart_say_what_the_compose_file_says() -> None:
    values = yaml.safe_load((PROJECT / "deploy" / "helm" / "values.yaml").read_text())
    assert values["airflowVersion"] == "3.3.2"
    environment = {each["name"]: each["value"] for each in values["env"]}
    assert Path(environment["DENODO_HA_PAIRS"]).parent == Path(values["volumeMounts"][0]["mountPath"])
    assert [each["name"] for each in values["volumes"]] == [each["name"] for each in values["volumeMounts"]]
    assert yaml.safe_load(values["extraEnvFrom"]) == [{"secretRef": {"name": "denodo-ha-connections"}}]
