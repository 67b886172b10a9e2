"""The stand-in does what its own OpenAPI document says: schemathesis makes requests of it that nobody wrote by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.contract.test_shapes import packed

from denodo_standin.openapi import STYLES, ApiDocsStyle

if TYPE_CHECKING:
    from tests.contract.conftest import Process

BASE_PATH = "/webadmin/denodo-scheduler-admin"
CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
Send = Callable[[Any], Any]

pytestmark = pytest.mark.usefixtures("healed")


def some(examples: int) -> Callable[[Any], Any]:
    """A few examples, the same ones each time."""
    checks = list(HealthCheck)
    return settings(max_examples=examples, derandomize=True, database=None, suppress_health_check=checks)


@pytest.fixture
def send(webtool: Process, scheduler: Process) -> Send:
    """Send a case to the Scheduler server, and check that its answer is one of those in the document."""

    def call(case: Any) -> Any:
        case.query["uri"] = scheduler.uri
        base_url = f"http://{webtool.address}{BASE_PATH}"
        return case.call_and_validate(
            base_url=base_url, auth=("admin", "admin"), checks=CHECKS, proxies={"http": "", "all": ""}
        )

    return call


def described(webtool: Process) -> Any:
    document = webtool.client.get(f"{BASE_PATH}/v3/api-docs").json()
    return schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("style", get_args(ApiDocsStyle))
@pytest.mark.parametrize("direction", ["export", "import"])
def test_whoever_reads_the_document_can_export_and_import(
    direction: str, style: ApiDocsStyle, webtool: Process, send: Send
) -> None:
    webtool.control("guesses", {"api_docs_style": style})
    shape = STYLES[style][direction == "import"]

    @some(5)
    @given(described(webtool)[f"/public/api/serverMetadata/{direction}"]["POST"].as_strategy())
    def check(case: Any) -> None:
        if direction == "import" and shape.file is None:
            case.body = packed({})
        elif isinstance(case.body, dict):
            if shape.place == "form":  # what the document does not name may not even be the name of a part
                known = {shape.part, *(path[0] for path in shape.paths(shape.names).values())}
                case.body = {name: value for name, value in case.body.items() if name in known}
            if shape.file:
                case.body[shape.file] = packed({})
            if shape.selection:
                case.body[shape.selection] = {"projects": []}
        assert send(case).status_code == 200

    check()


def test_every_reading_answers_as_described(webtool: Process, send: Send) -> None:
    def check(operation: Any) -> None:
        @some(3)
        @given(operation.as_strategy())
        def read(case: Any) -> None:
            assert send(case).status_code in {200, 400, 404, 422}

        read()

    paths = webtool.client.get(f"{BASE_PATH}/v3/api-docs").json()["paths"]
    operations = [described(webtool)[path]["GET"] for path, methods in paths.items() if "get" in methods]
    assert len(operations) > 8
    for operation in operations:
        check(operation)
