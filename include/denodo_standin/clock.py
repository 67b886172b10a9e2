"""The clock of a server: real, real with an offset, or driven by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock.

    :param now: the time that it shows at first (aware); None: the real time
    :param manual: it stands still until it is moved
    """

    def __init__(self, *, manual: bool = False, now: datetime | None = None) -> None:
        self.manual = manual
        self._offset = timedelta()
        self._now = datetime.now(UTC)
        if now is not None:
            self.set(now)

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self._now if self.manual else datetime.now(UTC) + self._offset

    def set(self, now: datetime) -> None:
        self._now = now.astimezone(UTC)
        self._offset = self._now - datetime.now(UTC)

    def run_free(self) -> None:
        """Become the real clock."""
        self.manual = False
        self._offset = timedelta()

    def stop(self) -> None:
        """Stand still at the present time."""
        self._now = self.now()
        self.manual = True
