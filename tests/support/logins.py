"""Users of the tests' Airflow."""

from __future__ import annotations

import json

import httpx

from denodo_demo.airflow import LocalAirflow
from denodo_demo.slowness import allow


def token(airflow: LocalAirflow, user: str) -> str:
    """The token of a user, as ``POST /auth/token`` gives it."""
    passwords = json.loads(airflow.password_file.read_text())
    login = {"username": user, "password": passwords[user]}
    answer = httpx.post(f"{airflow.url}/auth/token", json=login, timeout=allow(30), trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])
