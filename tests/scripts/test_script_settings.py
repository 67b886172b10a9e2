"""What a connection must say for the transport ``scripts``."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from typing import Any

import pytest

from denodo_ha.server.address import same_machine
from denodo_ha.server.connection import Settings, parse_extra
from denodo_scheduler.provider_info import get_provider_info

ENOUGH = {"transport": "scripts", "denodo_home": "/opt/denodo/", "script_password": "encrypted:c2VjcmV0"}


def parse(**extra: Any) -> Settings:
    return parse_extra("web", json.dumps(extra))[0]


def test_what_is_enough() -> None:
    settings = parse(**ENOUGH)
    assert (settings.denodo_home, settings.ssh_conn_id, settings.vdpauth) == ("/opt/denodo", None, False)
    assert settings.secrets == {"encrypted:c2VjcmV0", "c2VjcmV0"}
    assert "c2VjcmV0" not in repr(settings)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"transport": "scripts"}, "scripts needs denodo_home and script_password as well"),
        ({"transport": "rmi"}, "'transport': Input should be 'rest' or 'scripts'"),
        ({**ENOUGH, "denodo_home": "denodo"}, "'denodo_home': expected the absolute path"),
        (
            {**ENOUGH, "script_server": "localhost"},
            "'script_server': The Scheduler server 'localhost' is not of the form",
        ),
        (
            {**ENOUGH, "script_password": "hush-hush"},
            "process list.*bin/encrypt_password.sh, and put encrypted: before",
        ),
        ({**ENOUGH, "script_password": "encrypted:"}, "'script_password': expected encrypted:"),
        ({**ENOUGH, "script_password": "encrypted:a hush-hush"}, "'script_password': expected encrypted:"),
    ],
)
def test_what_is_refused(extra: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        parse(**extra)
    assert "hush-hush" not in str(refused.value)


def test_the_form_hides_the_password() -> None:
    (connection,) = get_provider_info()["connection-types"]
    assert connection["conn-fields"]["script_password"]["schema"]["format"] == "password"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("localhost", "127.0.0.1", True), ("Denodo-A", "denodo-a", True), ("localhost", "denodo-a", False)],
)
def test_one_machine(one: str, other: str, same: bool) -> None:
    assert same_machine(one, other) is same


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_shells_program_is_sound() -> None:
    program = files("denodo_scheduler.client.scripts").joinpath("run.sh").read_text(encoding="utf-8")
    subprocess.run(["shellcheck", "-"], input=program, text=True, check=True)
