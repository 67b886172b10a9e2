"""What errors of the system and of libraries say, for people."""

from __future__ import annotations

import os
from collections.abc import Iterator

from denodo_ha.text import one_line


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and what it came from, outermost first, linked by Python or wrapped by a library."""
    while error is not None:
        yield error
        wrapped = next((each for each in error.args if isinstance(each, BaseException)), None)
        error = error.__cause__ or error.__context__ or wrapped


def readable(error: BaseException) -> str:
    """Say in one line what happened; the innermost error of the system says it best."""
    inner = [each for each in causes(error) if isinstance(each, OSError) and each.strerror]
    if inner and isinstance(inner[-1], ConnectionError) and inner[-1].errno:
        return os.strerror(inner[-1].errno)
    return one_line((inner[-1].strerror if inner else str(error)) or type(error).__name__)
