"""A local server of Amazon's APIs, for object storage and secrets over a real socket: moto's, as a process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from denodo_demo.processes import Child, free_port, wait_for

KEY, SECRET = "AKIAEXAMPLE", "storage-hush-hush"  # it takes any


@dataclass(frozen=True)
class Amazon:
    """The server's address, and how a program reaches it."""

    url: str

    @property
    def extra(self) -> dict[str, Any]:
        """Of a connection. Nothing is tried again, since nothing is lost on the way."""
        retries = {"retries": {"max_attempts": 0}}
        return {"endpoint_url": self.url, "region_name": "us-east-1", "config_kwargs": retries}

    def connection(self, **extra: Any) -> str:
        """An Airflow connection as the value of an environment variable."""
        fields = {"conn_type": "aws", "login": KEY, "password": SECRET, "extra": {**self.extra, **extra}}
        return json.dumps(fields)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    @contextmanager
    def checking_credentials(self) -> Iterator[None]:
        """Keys are looked at from now on, and rights too."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content="0").raise_for_status()
        try:
            yield
        finally:
            httpx.post(f"{self.url}/moto-api/reset-auth", content="inf").raise_for_status()


@contextmanager
def amazon(folder: Path) -> Iterator[Amazon]:
    if find_spec("moto") is None or find_spec("flask") is None:
        pytest.skip("moto's server is not installed: pip install --require-hashes -r requirements-dev.txt")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    child = Child("moto", command, log=folder / "moto.log", env=dict(os.environ))
    server = Amazon(f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: _answers(server), 60, "moto's server", child=child)
        yield server
    finally:
        child.stop()


def _answers(server: Amazon) -> bool:
    try:
        return httpx.get(f"{server.url}/moto-api/", timeout=5).is_success
    except httpx.HTTPError:
        return False
