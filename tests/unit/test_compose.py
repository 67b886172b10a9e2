"""The compose file, what ``make env`` writes for it, and what of the Dockerfile can be told without an engine."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from airflow.configuration import conf
from airflow.secrets.local_filesystem import load_connections_dict
from cryptography.fernet import Fernet

from denodo_demo.airflow import PROJECT
from denodo_demo.slowness import allow
from denodo_ha.pairs_file import load_pairs

PROFILES = ("standin", "celery", "s3", "monitoring")
AIRFLOW = ("airflow-init", "api-server", "scheduler", "dag-processor", "triggerer", "worker-1", "worker-2")
STANDINS = ("standin-master", "standin-master-webtool", "standin-slave", "standin-slave-webtool")
ENDS = ("airflow-init", "standin-jobs")
GIVEN = {
    "postgres": {"postgres_password"},
    "airflow-init": {"postgres_password", "fernet_key"},
    "api-server": {
        "postgres_password",
        "fernet_key",
        "jwt_secret",
        "api_secret_key",
        "admin_password",
        "backend_kwargs",
        "connections",
    },
    "scheduler": {"postgres_password", "fernet_key", "jwt_secret", "api_secret_key", "redis_password"},
    "dag-processor": {"postgres_password", "fernet_key", "backend_kwargs", "connections"},
    "triggerer": {"postgres_password", "fernet_key", "api_secret_key", "backend_kwargs", "connections"},
    "redis": {"redis_password"},
    "worker-1": {"redis_password", "api_secret_key"},
    "worker-2": {"redis_password", "api_secret_key"},
    **{name: {"standin_password"} for name in (*STANDINS, "standin-jobs")},
    "grafana": {"admin_password"},
}
"""The secrets of each service; the others have none."""
ENV_OF_OLD = """\
# what make env wrote once
COMPOSE_PROFILES=standin
PAIRS_FOLDER=./mine
AIRFLOW_PORT=8099
ADMIN_PASSWORD=opensesame
FERNET_KEY='cGFzc3dvcmQgcGFzc3dvcmQgcGFzc3dvcmQgcGFzcyE='
JWT_SECRET=j1
API_SECRET_KEY=a1
POSTGRES_PASSWORD=p1
REDIS_PASSWORD=r1
STANDIN_PASSWORD=s1
AIRFLOW_CONN_DENODO_SCHEDULER_MASTER='{"conn_type": "denodo_scheduler", \
"password": "a$b\\\\tc", "extra": {"verify": false}}'
AIRFLOW_CONN_MAIL=smtp://mail:25/?key=YQ=
AIRFLOW__METRICS__STATSD_ON=True
"""


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


def make_env(clone: Path) -> dict[str, str]:
    """The secrets that ``make env`` has written, by the names of their files."""
    done = run(clone, "make", "env")
    assert done.returncode == 0, done.stderr
    return {each.name: each.read_text() for each in (clone / "secrets").iterdir()}


def connections(clone: Path) -> dict[str, Any]:
    """The connections as Airflow reads them."""
    return dict(load_connections_dict(str(clone / "secrets" / "connections.yaml")))


def config(clone: Path, *options: str, **variables: str) -> dict[str, Any]:
    """What Compose makes of the file."""
    done = run(clone, "docker", "compose", *options, "config", "--format", "json", variables=variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


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


def top(key: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())[key]
    return found


def version() -> str:
    """The version that the project gives itself."""
    found: str = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
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

    def test_what_make_env_wrote_leads_to_the_standin_pair(self, clone: Path) -> None:
        written = make_env(clone)
        found = config(clone)
        for connection_id in ("denodo_scheduler_master", "denodo_scheduler_slave"):
            connection = connections(clone)[connection_id]
            assert connection.host in found["services"]
            assert connection.extra_dejson["scheduler_uri"].strip("/").split(":")[0] in found["services"]
            assert connection.password == written["standin_password"]
        assert "worker-1" not in found["services"]
        assert all(Path(each["file"]).exists() for each in found["secrets"].values())

    def test_it_shows_no_secret(self, clone: Path) -> None:
        written = make_env(clone)
        with (clone / "airflow.env").open("a") as file:
            file.write("AIRFLOW__CORE__HOSTNAME_CALLABLE=is.shown\n")
        done = run(clone, "docker", "compose", "--profile", "*", "config")
        assert "is.shown" in done.stdout
        assert not [name for name, value in written.items() if value in done.stdout]

    def test_before_make_env_it_says_what_to_do(self, clone: Path) -> None:
        done = run(clone, "docker", "compose", "config", "-q")
        assert done.returncode != 0
        assert "SECRETS_FOLDER is missing a value: run make env" in done.stderr

    def test_more_settings_need_no_change_of_the_file_and_reach_airflow_only(self, clone: Path) -> None:
        make_env(clone)
        with (clone / "airflow.env").open("a") as file:
            file.write("AIRFLOW__CORE__PARALLELISM=7\nMINE='a b'\n")
        with (clone / ".env").open("a") as file:
            file.write("EXECUTOR=CeleryExecutor\nHIDDEN=1\n")
        for name, service in config(clone, "--profile", "*")["services"].items():
            environment = service.get("environment", {})
            found = [
                environment.get(key)
                for key in ("AIRFLOW__CORE__PARALLELISM", "MINE", "AIRFLOW__CORE__EXECUTOR", "HIDDEN")
            ]
            assert found == (["7", "a b", "CeleryExecutor", None] if name in AIRFLOW else [None] * 4)


@pytest.mark.usefixtures("compose")
class TestMonitoring:
    def test_metrics_go_where_they_are_listened_to(self, clone: Path) -> None:
        make_env(clone)
        with (clone / ".env").open("a") as file:
            file.write("COMPOSE_PROFILES=standin,monitoring\n")
        with (clone / "airflow.env").open("a") as file:
            file.write("AIRFLOW__METRICS__STATSD_ON=True\n")
        found = config(clone)["services"]
        for name in ("scheduler", "triggerer"):
            environment = found[name]["environment"]
            assert environment["AIRFLOW__METRICS__STATSD_ON"] == "True"
            assert set(found[name]["networks"]) & set(found[environment["AIRFLOW__METRICS__STATSD_HOST"]]["networks"])
            assert found[name]["depends_on"]["statsd-exporter"]["condition"] == "service_healthy"
        for name in ("statsd-exporter", "prometheus", "grafana"):
            sources = [each["source"] for each in found[name]["volumes"] if each["type"] == "bind"]
            assert sources
            assert all(Path(source).exists() for source in sources)
            assert re.search(r":v?\d+\.\d+\.\d+$", found[name]["image"]), "a pinned version"

    def test_without_the_profile_nothing_is_sent(self, clone: Path) -> None:
        make_env(clone)
        found = config(clone)["services"]
        assert found["triggerer"]["environment"]["AIRFLOW__METRICS__STATSD_ON"] == "False"
        assert "statsd-exporter" not in found


class TestEnv:
    def test_it_is_for_our_eyes_only_and_has_every_secret(self, clone: Path) -> None:
        written = make_env(clone)
        modes = {name: stat.S_IMODE((clone / name).stat().st_mode) for name in (".env", "airflow.env", "secrets")}
        assert modes == {".env": 0o600, "airflow.env": 0o600, "secrets": 0o700}
        # A container sees some of the files as a user of its own, and the folder of none.
        assert {stat.S_IMODE(each.stat().st_mode) for each in (clone / "secrets").iterdir()} == {0o644}
        assert set(written) == {each["file"].split("/")[-1] for each in top("secrets").values()}
        assert all(len(value) >= 20 for value in written.values())
        Fernet(written["fernet_key"])
        settings = (clone / ".env").read_text() + (clone / "airflow.env").read_text()
        assert not [name for name, value in written.items() if value in settings]

    def test_secrets_are_fresh_and_none_is_used_twice(self, clone: Path) -> None:
        first = make_env(clone)
        for name in (".env", "airflow.env"):
            (clone / name).unlink()
        shutil.rmtree(clone / "secrets")
        second = make_env(clone)
        secrets = [each[name] for each in (first, second) for name in each if name != "backend_kwargs"]
        assert len(set(secrets)) == len(secrets)

    def test_one_that_exists_stays_and_it_says_so(self, clone: Path) -> None:
        (clone / ".env").write_text("MINE=1\n")
        done = run(clone, "make", "env")
        assert "There is a .env already" in done.stderr
        assert (clone / ".env").read_text() == "MINE=1\n"
        assert not (clone / "secrets").exists()

    def test_values_of_an_older_version_are_moved_as_compose_reads_them(self, clone: Path) -> None:
        (clone / ".env").write_text(
            'ADMIN_PASSWORD="pa#w d"  # mine\n'
            "API_SECRET_KEY=abc # a comment\r\n"
            " export FERNET_KEY=k=\n"
            "JWT_SECRET='it\"s\\n' # 'this'\n"
            "POSTGRES_PASSWORD='a$b#c d'\n"
            "REDIS_PASSWORD=x'y#z\n"
            "export GRAFANA_PORT=3001\n"
            "AIRFLOW_CONN_MAIL=smtp://user:it'%24@mail:25\n"
            "AIRFLOW__SMTP__SMTP_PASSWORD='s3 cret'\n"
        )
        done = run(clone, "make", "env")
        assert done.returncode == 0, done.stderr
        names = ("admin_password", "api_secret_key", "fernet_key", "jwt_secret", "postgres_password", "redis_password")
        assert [(clone / "secrets" / name).read_text() for name in names] == [
            "pa#w d",
            "abc",
            "k=",
            'it"s\\n',
            "a$b#c d",
            "x'y#z",
        ]
        mail = connections(clone)["mail"]
        assert (mail.host, mail.login, mail.password) == ("mail", "user", "it'$")
        assert "GRAFANA_PORT=3001" in (clone / ".env").read_text().splitlines()
        assert "may be secrets: AIRFLOW__SMTP__SMTP_PASSWORD" in done.stderr

    @pytest.mark.parametrize(
        "value", ['"a\\"b"', "a$b", '"a$b"', '\'{\n  "password": "hidden"\n}\'', "'it''s'", "'open"]
    )
    def test_a_value_that_only_compose_can_read_stops_before_anything_is_changed(self, clone: Path, value: str) -> None:
        text = f"FERNET_KEY=k\nADMIN_PASSWORD={value}\n"
        (clone / ".env").write_text(text)
        done = run(clone, "make", "env")
        assert done.returncode != 0
        assert "line 2 of .env: ADMIN_PASSWORD" in done.stderr
        assert "Write each as NAME='value'" in done.stderr
        assert "hidden" not in done.stdout + done.stderr
        assert (clone / ".env").read_text() == text
        assert {"secrets", ".env.old", "airflow.env"}.isdisjoint(each.name for each in clone.iterdir())

    @pytest.mark.parametrize("interrupted", ["", "secrets/jwt_secret", "secrets/connections.yaml", "airflow.env"])
    def test_one_of_an_older_version_loses_nothing(self, clone: Path, interrupted: str) -> None:
        (clone / ".env").write_text(ENV_OF_OLD)
        if interrupted:
            in_the_way = clone / f"{interrupted}.new"
            in_the_way.mkdir(parents=True)
            assert run(clone, "make", "env").returncode != 0
            in_the_way.rmdir()
        done = run(clone, "make", "env")
        assert (done.returncode, "The old .env is .env.old now" in done.stderr) == (0, True)
        assert (clone / ".env.old").read_text() == ENV_OF_OLD
        written = {each.name: each.read_text() for each in (clone / "secrets").iterdir()}
        del written["connections.yaml"], written["backend_kwargs"]
        assert written == {
            "admin_password": "opensesame",
            "fernet_key": "cGFzc3dvcmQgcGFzc3dvcmQgcGFzc3dvcmQgcGFzcyE=",
            "jwt_secret": "j1",
            "api_secret_key": "a1",
            "postgres_password": "p1",
            "redis_password": "r1",
            "standin_password": "s1",
        }
        master, mail = (connections(clone)[name] for name in ("denodo_scheduler_master", "mail"))
        assert (master.conn_type, master.password, master.extra_dejson) == (
            "denodo_scheduler",
            "a$b\\tc",
            {"verify": False},
        )
        assert (mail.conn_type, mail.host, mail.port) == ("smtp", "mail", 25)
        assert mail.extra_dejson == {"key": "YQ="}
        settings = dict(line.split("=", 1) for line in (clone / ".env").read_text().splitlines())
        assert settings == {
            "COMPOSE_PROFILES": "standin",
            "PAIRS_FOLDER": "./mine",
            "AIRFLOW_PORT": "8099",
            "SECRETS_FOLDER": "./secrets",
        }
        assert (clone / "airflow.env").read_text().splitlines()[-1] == "AIRFLOW__METRICS__STATSD_ON=True"
        again = run(clone, "make", "env")
        assert "it is left unchanged" in again.stderr

    def test_it_prints_no_secret(self, clone: Path) -> None:
        done = run(clone, "make", "env")
        printed = done.stdout + done.stderr
        assert not [each.name for each in (clone / "secrets").iterdir() if each.read_text() in printed]

    def test_git_and_the_image_leave_it_out(self) -> None:
        assert {".env", ".env.old", "/airflow.env", "/secrets/"} <= {*(PROJECT / ".gitignore").read_text().splitlines()}
        ignored = (PROJECT / ".dockerignore").read_text().splitlines()
        assert "*" in ignored
        assert not [line for line in ignored if line.startswith("!") and ("env" in line or "secret" in line)]


class TestPin:
    """``make pin``, with a docker that knows two registries."""

    @pytest.fixture
    def docker(self, clone: Path) -> Path:
        program = clone / "bin" / "docker"
        program.parent.mkdir()
        program.write_text(
            """#!/bin/sh
case "$1 $2" in
    "compose config") echo postgres:16; echo local/redis:7 ;;
    "pull --quiet") [ "$3" != gone:1 ] && echo "$3" >>pulled ;;
    "image inspect")
        printf 'elsewhere/x@sha256:1\\n%s@sha256:%s\\n' "${5%:*}" "$(printf %s "$5" | md5sum | head -c 8)" ;;
esac
"""
        )
        program.chmod(0o755)
        make_env(clone)
        return program.parent

    def pin(self, clone: Path, docker: Path) -> subprocess.CompletedProcess[str]:
        return run(clone, "make", "pin", variables={"PATH": f"{docker}:{os.environ['PATH']}"})

    def test_what_is_used_is_pinned_and_the_rest_is_not_pulled(self, clone: Path, docker: Path) -> None:
        with (clone / ".env").open("a") as file:
            file.write("REDIS_IMAGE=local/redis:7\n")
        before = (clone / ".env").read_text()
        done = self.pin(clone, docker)
        assert done.returncode == 0, done.stderr
        pulled = (clone / "pulled").read_text().split()
        assert set(pulled) == {"apache/airflow:3.3.2", "postgres:16", "local/redis:7"}
        pinned = [f"{image}@sha256:{hashlib.md5(image.encode()).hexdigest()[:8]}" for image in pulled]  # noqa: S324
        settings = (clone / ".env").read_text().splitlines()
        named = {line.split("=")[0]: line.split("=", 1)[1] for line in settings if "_IMAGE=" in line}
        assert sorted(named.values()) == sorted(pinned)
        assert {*before.splitlines()} - {*settings} == {"REDIS_IMAGE=local/redis:7"}
        assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600

    def test_an_image_that_is_pinned_is_looked_up_by_its_tag_again(self, clone: Path, docker: Path) -> None:
        self.pin(clone, docker)
        first = (clone / ".env").read_text()
        self.pin(clone, docker)
        assert sorted((clone / ".env").read_text().splitlines()) == sorted(first.splitlines())
        assert not [image for image in (clone / "pulled").read_text().split() if "@" in image]

    def test_one_that_cannot_be_pulled_changes_nothing(self, clone: Path, docker: Path) -> None:
        with (clone / ".env").open("a") as file:
            file.write("AIRFLOW_IMAGE=gone:1\n")
        before = (clone / ".env").read_text()
        assert self.pin(clone, docker).returncode != 0
        assert (clone / ".env").read_text() == before
        assert not list(clone.glob(".env.*"))


def names_of(service: Mapping[str, Any]) -> set[str]:
    return {each if isinstance(each, str) else each["source"] for each in service.get("secrets", ())}


class TestSecrets:
    def test_each_service_has_those_that_it_needs(self) -> None:
        assert {name: names_of(each) for name, each in services().items() if names_of(each)} == GIVEN

    @pytest.mark.parametrize("name", services())
    def test_what_a_service_reads_it_has_and_what_it_has_it_reads(self, name: str) -> None:
        service = services()[name]
        says = json.dumps([service.get(key) for key in ("environment", "command", "entrypoint", "healthcheck")])
        read = set(re.findall(r"/run/secrets/([a-z_]+)", says))
        if "backend_kwargs" in read:
            read.add("connections")
        assert read == names_of(service)

    @pytest.mark.parametrize("name", services())
    def test_no_variable_of_a_service_is_a_secret_or_comes_from_the_settings_of_compose(self, name: str) -> None:
        service = services()[name]
        assert [each["path"] for each in service.get("env_file", ())] == (["airflow.env"] if name in AIRFLOW else [])
        for variable, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|SECRET|KEY|BROKER_URL|RESULT_BACKEND|SQL_ALCHEMY_CONN", variable)
            assert not secret or "/run/secrets/" in str(value) or variable.endswith("_BACKEND") or "FILE" in variable

    @pytest.mark.parametrize("name", AIRFLOW)
    def test_airflow_runs_the_commands(self, name: str, tmp_path: Path) -> None:
        """Each is of a setting that Airflow takes from a command, and gives what is in the file, less its line end."""
        commands = {key: value for key, value in services()[name]["environment"].items() if key.endswith("_CMD")}
        for variable, command in commands.items():
            section, key = variable.removeprefix("AIRFLOW__").removesuffix("_CMD").lower().split("__")
            assert (section, key) in conf.sensitive_config_values
            [file] = re.findall(r"/run/secrets/(\w+)", command)
            (tmp_path / file).write_text("s3cret\n")
            # Compose makes one $ of two.
            here = command.replace("$$", "$").replace("/run/secrets", str(tmp_path))
            given = subprocess.run(shlex.split(here), capture_output=True, text=True, check=True).stdout
            assert re.fullmatch(r"([\w+]+://\w*:)?s3cret(@[\w:/]+)?", given)
            host = re.search(r"@(\w+)", given)
            assert not host or set(services()[host[1]]["networks"]) & set(services()[name]["networks"])


class TestNetworks:
    def test_who_is_in_which(self) -> None:
        members = {
            network: {name for name, service in services().items() if network in service["networks"]}
            for network in top("networks")
        }
        core = {"api-server", "scheduler", "dag-processor", "triggerer"}
        workers = {"worker-1", "worker-2"}
        assert members == {
            "database": {"postgres", "airflow-init", *core},
            "broker": {"redis", "scheduler", *workers},
            "airflow": {*core, *workers, "statsd-exporter"},
            "denodo": {*STANDINS, "standin-jobs", "s3", "api-server", "scheduler", "triggerer", *workers},
            "monitoring": {"statsd-exporter", "prometheus", "grafana"},
        }

    def test_database_and_broker_cannot_reach_the_outside(self) -> None:
        assert [name for name, each in top("networks").items() if each] == ["database", "broker"]
        assert all(each == {"internal": True} for each in top("networks").values() if each)


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


def test_the_image_says_what_it_is() -> None:
    lines = (PROJECT / "Dockerfile").read_text()
    assert f"\nARG VERSION={version()}\n" in lines
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="(.*)"', lines))
    assert {"title", "version", "revision", "source", "documentation", "licenses", "base.name"} <= set(labels)
    assert labels["licenses"] == "Apache-2.0"


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """The values for the official Helm chart."""
    found: dict[str, Any] = yaml.safe_load((PROJECT / "deploy" / "helm" / "values.yaml").read_text())
    return found


class TestHelmValues:
    def test_they_say_what_the_compose_file_says(self, values: dict[str, Any]) -> None:
        assert values["airflowVersion"] == "3.3.2"
        assert values["images"]["airflow"]["tag"] == version()
        environment = {each["name"]: each["value"] for each in values["env"]}
        assert Path(environment["DENODO_HA_PAIRS"]).parent == Path(values["volumeMounts"][0]["mountPath"])
        assert [each["name"] for each in values["volumes"]] == [each["name"] for each in values["volumeMounts"]]

    def test_the_connections_are_where_compose_has_them(self, values: dict[str, Any]) -> None:
        components = {"apiServer": "api-server", "triggerer": "triggerer", "dagProcessor": "dag-processor"}
        have = {name for name in AIRFLOW if "connections" in GIVEN[name]}
        assert {components[name] for name, each in values.items() if "extraVolumes" in str(each)} == have
        for name in components:
            environment = {each["name"]: each["value"] for each in values[name]["env"]}
            file = json.loads(environment["AIRFLOW__SECRETS__BACKEND_KWARGS"])["connections_file_path"]
            [volume], [mount] = values[name]["extraVolumes"], values[name]["extraVolumeMounts"]
            assert (mount["name"], Path(mount["mountPath"])) == (volume["name"], Path(file).parent)
            assert volume["secret"] == {"secretName": "denodo-ha-connections"}

    def test_no_key_was_added_that_nobody_has_looked_up(self, values: dict[str, Any]) -> None:
        """These were looked up in the schema of chart 1.22, which ignores a key at the top that it does not know."""
        assert {name: sorted(each) if isinstance(each, dict) else type(each) for name, each in values.items()} == {
            "airflowVersion": str,
            "images": ["airflow"],
            "executor": str,
            "workers": ["celery"],
            "postgresql": ["enabled"],
            "data": ["metadataSecretName"],
            "fernetKeySecretName": str,
            "jwtSecretName": str,
            "apiSecretKeySecretName": str,
            "enableBuiltInSecretEnvVars": ["AIRFLOW_CONN_AIRFLOW_DB"],
            "createUserJob": ["defaultUser"],
            "env": list,
            "volumes": list,
            "volumeMounts": list,
            "apiServer": ["env", "extraVolumeMounts", "extraVolumes"],
            "triggerer": ["env", "extraVolumeMounts", "extraVolumes"],
            "dagProcessor": ["env", "extraVolumeMounts", "extraVolumes"],
        }

    def test_the_chart_accepts_them(self, values: dict[str, Any]) -> None:
        if not (chart := os.environ.get("DENODO_TESTS_CHART")):
            pytest.skip("needs Airflow's Helm chart, unpacked, in the folder that DENODO_TESTS_CHART names")
        schema = json.loads(Path(chart, "values.schema.json").read_text())
        assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(values)] == []
        assert set(values) <= set(schema["properties"])
