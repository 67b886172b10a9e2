"""Classes under the names that they had before."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

from airflow.exceptions import AirflowProviderDeprecationWarning


def renamed(module: str, classes: Mapping[str, type]) -> Callable[[str], type]:
    """Make the ``__getattr__`` of ``module``, which hands out ``classes`` by their old names, with a warning."""

    def __getattr__(name: str) -> type:
        if name not in classes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        message = f"{module}.{name} is deprecated; its name is {classes[name].__name__} now."
        warnings.warn(message, AirflowProviderDeprecationWarning, stacklevel=2)
        return classes[name]

    return __getattr__
