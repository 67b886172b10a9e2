from __future__ import annotations

import pickle

import pytest
from airflow.sdk import ExceptionRetryPolicy, RetryAction

from denodo_scheduler import exceptions
from denodo_scheduler.exceptions import RETRY_POLICY, ConfigurationError, DenodoSchedulerError

RETRIED = [
    exceptions.RequestError,
    exceptions.UnreachableError,
    exceptions.NoAnswerError,
    exceptions.ServerBusyError,
    exceptions.UnexpectedAnswerError,
]


@pytest.mark.parametrize("kind", [*RETRIED, ConfigurationError])
def test_crosses_process_borders_whole(kind: type[DenodoSchedulerError]) -> None:
    error = kind("Wrong. Correct it.", status=401, server_message="no", method="GET", path="/public/api/me")

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert type(copy) is kind
    assert str(copy) == "Wrong. Correct it."
    assert vars(copy) == {"status": 401, "server_message": "no", "method": "GET", "path": "/public/api/me"}


def test_a_configuration_error_fails_the_task_at_once_and_says_why() -> None:
    decision = RETRY_POLICY.evaluate(ConfigurationError("x"), try_number=1, max_tries=5)

    assert decision.action is RetryAction.FAIL
    assert decision.reason is not None
    assert "correct" in decision.reason


@pytest.mark.parametrize("kind", RETRIED)
def test_other_errors_are_left_to_the_retries_of_the_task(kind: type[DenodoSchedulerError]) -> None:
    assert RETRY_POLICY.evaluate(kind("x"), try_number=1, max_tries=5).action is RetryAction.DEFAULT


def test_the_policy_survives_the_serialisation_of_a_dag() -> None:
    policy = ExceptionRetryPolicy.deserialize(RETRY_POLICY.serialize())

    assert policy.evaluate(ConfigurationError("x"), 1, 5).action is RetryAction.FAIL
