"""What can go wrong between Airflow and a Denodo Scheduler, and which of it is worth a retry."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowException

from denodo_ha.reason import Reason


class DenodoSchedulerError(AirflowException):
    """
    A request to a Denodo Scheduler that did not do what was asked.

    :param message: one line for a person: what is wrong and what to do next. Never holds credentials.
    :param status: HTTP status of the answer, if there was one.
    :param server_message: what the server itself said, if anything.
    :param method: HTTP method of the request.
    :param path: path of the request without its query.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        server_message: str | None = None,
        method: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.server_message = server_message
        self.method = method
        self.path = path


class ConfigurationError(DenodoSchedulerError):
    """The connection or the user's rights are wrong: 401, 403, 404, HTML, a redirect, TLS. No retry helps."""

    code = "configuration"
    next_step = (
        "correct the connection, or the user's rights on the server, then clear the task or wait for the next run"
    )

    @property
    def reason(self) -> Reason:
        """Say it as a step does."""
        return Reason(self.code, str(self), self.next_step)


class WrongConnectionError(ConfigurationError):
    """Airflow's connection does not exist, or holds what cannot be used. No request was sent."""

    code = "connection"
    next_step = "create or correct the connection in Airflow, then clear the task or wait for the next run"


class TokenRefusedError(ConfigurationError):
    """The token endpoint of the connection refuses the client, or gives what is no bearer token. No request was sent to
    the web tool."""

    code = "token_refused"
    next_step = (
        "correct login (the client id), password (the client secret), token_url, scope or method of the connection, "
        "or the client at the authorisation server, then clear the task or wait for the next run"
    )


class WrongArgumentError(ConfigurationError, ValueError):
    """An argument of an operator, a sensor or a trigger cannot be used, such as one that a template rendered."""

    code = "argument"
    next_step = "correct the argument in the DAG, then clear the task"


class RequestError(DenodoSchedulerError):
    """The server refused the request: 400, 422, and 500, which is Denodo's answer to user mistakes [V]."""


class UnknownJobError(RequestError):
    """The server does not have the job, or the user may not see it."""


class UnreachableError(DenodoSchedulerError):
    """No connection was made: refused, unknown host name, connect timeout. The request had no effect."""


class NoTokenError(UnreachableError):
    """The token endpoint of the connection gives no token: silence, 5xx, a damaged answer. No request was sent to the
    web tool, and nothing is said about it or its server."""

    code = "no_token"
    next_step = "look at the authorisation server and the way to it; the task is tried again by itself"

    @property
    def reason(self) -> Reason:
        """Say it as a step does."""
        return Reason(self.code, str(self), self.next_step)


class NoAnswerError(DenodoSchedulerError):
    """The request was sent and no whole answer came: read timeout, connection cut. Its effect is unknown."""


class ServerBusyError(DenodoSchedulerError):
    """502, 503 or 504: something in front of the Scheduler says to come back later."""


class UnexpectedAnswerError(DenodoSchedulerError):
    """A well-formed HTTP answer whose content is not what this version understands; the message names the field."""


RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=ConfigurationError,
            action=RetryAction.FAIL,
            reason="A configuration error stays until a person corrects it; then clear the task.",
        )
    ]
)
"""Fails a task at once on a configuration error and leaves every other failure to the task's own retries."""
