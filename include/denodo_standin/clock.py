"""The clock of a server: real, ahead of or behind the real time, or driven by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock.

    :param now: the time that it shows at first (aware); None: the real time and ``offset``
    :param manual: it stands still until it is moved
    :param offset: how far it is ahead of the real time unless it is manual
    """

    def __init__(
        self,
        *,
        manual: bool = False,
        now: datetime | None = None,
        offset: timedelta = timedelta(),
    ) -> None:
        self.manual = manual
        self.offset = offset
        self._now = datetime.now(UTC)
        if now is not None:
            self.set(now)

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self._now if self.manual else datetime.now(UTC) + self.offset

    def set(self, now: datetime) -> None:
        self._now = now.astimezone(UTC)
        self.offset = self._now - datetime.now(UTC)

    def run_free(self) -> None:
        """Become the real clock."""
        self.manual = False
        self.offset = timedelta()

    def stop(self) -> None:
        """Stand still at the present time."""
        self._now = self.now()
        self.manual = True
