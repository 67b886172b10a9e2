"""A notifier of a pair in the end-to-end tests: appends what it is told to a file."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.sdk import BaseNotifier, Context


class FileNotifier(BaseNotifier):
    """:param path: file with one JSON object per alert. :param token: a secret, as those of real notifiers."""

    template_fields = ("text",)

    def __init__(self, *, path: str, token: str, text: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.token = token
        self.text = text

    def notify(self, context: Context) -> None:
        event: dict[str, Any] = context["event"]  # type: ignore[typeddict-item]
        alert = {"alert": context["alert"], "text": self.text, "event": event}  # type: ignore[typeddict-item]
        line = f"{json.dumps(alert)}\n".encode()
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)


class ByConnection(FileNotifier):
    """One that needs a connection. :param mail_conn_id: its id."""

    def __init__(self, *, mail_conn_id: str, **kwargs: Any) -> None:
        super().__init__(path="/dev/null", token="", **kwargs)
        self.mail_conn_id = mail_conn_id
