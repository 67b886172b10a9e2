"""The errors of the public API, with code and message as in the table of the contract [V]."""

from __future__ import annotations

from typing import Any

from denodo_standin.faults import INTERNAL_ERROR


class ApiError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str, sub_errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.sub_errors = sub_errors or []


def illegal_argument() -> ApiError:
    return ApiError(400, "Illegal argument")


def invalid(field: str, problem: str) -> ApiError:
    """Make the error of a wrong field.

    :param field: path of the wrong field, as in ``exportationSection.exporters[0].filter`` [G]
    """
    return ApiError(400, "Validation error", [{"field": field, "message": problem}])


def not_found(identifier: object) -> ApiError:
    return ApiError(404, f"There is no instance of the resource with identifier '{identifier}'")


def duplicate(name: str) -> ApiError:
    return ApiError(422, f"There is already an instance of the resource '{name} already exists in the project.'")


def internal(reason: str = "") -> ApiError:
    """Make an internal error (500), with which the real server answers many mistakes of the user too [V].

    :param reason: the cause; the real server keeps it in its log, the stand-in adds it to ``subErrors``
    """
    return ApiError(500, INTERNAL_ERROR, [{"message": reason}] if reason else [])


def forbidden() -> ApiError:
    return ApiError(403, "Access is denied")
