"""The errors of the public API: code and message as the contract's table has them [V]."""

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
    """:param field: path of the wrong field, as in ``exportationSection.exporters[0].filter`` [G]"""
    return ApiError(400, "Validation error", [{"field": field, "message": problem}])


def not_found(identifier: object) -> ApiError:
    return ApiError(404, f"There is no instance of the resource with identifier '{identifier}'")


def duplicate(name: str) -> ApiError:
    return ApiError(422, f"There is already an instance of the resource '{name} already exists in the project.'")


def internal(reason: str = "") -> ApiError:
    """A mistake of the user, as often as not [V].

    :param reason: what really happened; the real server keeps it in its log, the stand-in adds it to ``subErrors``
    """
    return ApiError(500, INTERNAL_ERROR, [{"message": reason}] if reason else [])


def forbidden() -> ApiError:
    return ApiError(403, "Access is denied")
