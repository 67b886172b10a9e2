"""The delivery plan: the pieces in which a sync sends what has changed, each with its channel and its moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, get_args

from denodo_ha.jobs import JobKey
from denodo_ha.reason import Reason
from denodo_ha.snapshot.contents import Identity
from denodo_ha.text import listed

Channel = Literal["resources", "rest", "archive", "whole"]
_CHANNELS: dict[Channel, str] = {
    "resources": "archive without jobs",
    "rest": "REST, born disabled",
    "archive": "archive of these jobs",
    "whole": "the whole archive",
}
assert set(_CHANNELS) == set(get_args(Channel))


@dataclass(frozen=True)
class Piece:
    """What is sent together.

    :param channel: ``resources``: an archive without jobs; ``rest``: jobs that are written disabled; ``archive``: a
        cut-down archive of jobs; ``whole``: the whole archive.
    :param elements: the changed elements that it delivers.
    :param jobs: the jobs that it writes, in the order of writing; for ``whole`` all that the archive enables.
    :param why: why it takes this channel, and what changed, as a clause.
    :param moment: the first second, on the target's clock, at which an import can be sent; None if it can be sent at
        once. It was calculated with what was known when the plan was made, so whoever sends it asks
        ``next_moment`` again right before.
    """

    channel: Channel
    elements: tuple[Identity, ...]
    jobs: tuple[JobKey, ...] = ()
    why: str = ""
    moment: datetime | None = None


@dataclass(frozen=True)
class Pending:
    """A changed element that this sync does not deliver.

    :param key: the job; None for an element that is no job.
    :param on_target: the target has an older definition, which a failover would report as ``outdated``; otherwise the
        job would be ``missing``.
    """

    element: Identity
    key: JobKey | None
    reason: Reason
    on_target: bool

    def __str__(self) -> str:
        if self.key is None:
            return f"{_named(self.element)}: {self.reason}"
        return f"{self.key} ({'outdated' if self.on_target else 'missing'} on the target): {self.reason}"


@dataclass(frozen=True)
class DeliveryPlan:
    """The ``pieces`` in the order of sending, and what is ``pending``; each changed element is in exactly one."""

    pieces: tuple[Piece, ...] = ()
    pending: tuple[Pending, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.pieces)

    @property
    def first_moment(self) -> datetime | None:
        """The moment of the first piece that needs one, before which nothing but the pieces in front of it is sent."""
        return next((piece.moment for piece in self.pieces if piece.moment), None)

    @property
    def waits(self) -> bool:
        """Whether nothing can be sent at once."""
        return bool(self.pieces) and self.pieces[0].moment is not None

    def wait_for(self, overdue: Iterable[JobKey]) -> datetime | None:
        """Return the moment up to which a sync sends nothing: that of the oldest job that earlier syncs have left
        pending, or of the first piece where nothing can be sent at once.

        Otherwise a job would be pending for ever on a source on which something else can always be sent at once.

        :param overdue: the jobs left pending, the oldest first; those that have no piece here are passed over.
        """
        moments = {key: piece.moment for piece in self.pieces if piece.moment for key in piece.jobs}
        oldest = next((moments[key] for key in overdue if key in moments), None)
        return oldest or (self.first_moment if self.waits else None)

    def text(self, zone: tzinfo | None = None) -> str:
        """Return the plan for people, one line a piece.

        :param zone: the time zone of the moments that are shown, UTC by default.
        """
        if not self.pieces and not self.pending:
            return "Nothing to deliver."
        lines = [f"{number}. {_line(piece, zone or UTC)}" for number, piece in enumerate(self.pieces, 1)]
        by_code: dict[str, list[Pending]] = {}
        for each in self.pending:
            by_code.setdefault(each.reason.code, []).append(each)
        for code, rows in by_code.items():
            names = listed((row.key or _named(row.element) for row in rows), 3)
            lines.append(f"pending, {code}: {_number(len(rows), 'element')} ({names}): {rows[0].reason.what}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON, which ``from_json`` reads."""
        return {
            "pieces": [
                {
                    "channel": piece.channel,
                    "elements": [list(identity) for identity in piece.elements],
                    "jobs": _plain(piece.jobs),
                    "why": piece.why,
                    "moment": piece.moment.isoformat() if piece.moment else None,
                }
                for piece in self.pieces
            ],
            "pending": [
                {
                    "element": list(each.element),
                    "key": _plain([each.key])[0] if each.key else None,
                    "reason": each.reason.to_json(),
                    "on_target": each.on_target,
                }
                for each in self.pending
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DeliveryPlan:
        """Read what ``to_json`` returned."""
        pieces = [
            Piece(
                channel=each["channel"],
                elements=tuple(_identity(identity) for identity in each["elements"]),
                jobs=tuple(_key(key) for key in each["jobs"]),
                why=each["why"],
                moment=datetime.fromisoformat(each["moment"]) if each["moment"] else None,
            )
            for each in value["pieces"]
        ]
        pending = [
            Pending(
                element=_identity(each["element"]),
                key=_key(each["key"]) if each["key"] else None,
                reason=Reason(**each["reason"]),
                on_target=each["on_target"],
            )
            for each in value["pending"]
        ]
        return cls(tuple(pieces), tuple(pending))


def _line(piece: Piece, zone: tzinfo) -> str:
    moment = f"at {piece.moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" if piece.moment else "at once"
    names = listed(piece.jobs or (_named(identity) for identity in piece.elements), 3)
    counts = [_number(len(piece.jobs), "job")] if piece.jobs else []
    if len(piece.elements) != len(piece.jobs):
        counts.insert(0, _number(len(piece.elements), "element"))
    return f"{_CHANNELS[piece.channel]}, {moment}: {', '.join(counts)} ({names}); {piece.why}"


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _named(identity: Identity) -> str:
    kind, project, name = identity
    return f"{kind} {project} / {name}" if project and kind != "project" else f"{kind} {name}"


def _plain(keys: Iterable[JobKey]) -> list[list[str]]:
    return [[key.project, key.name] for key in keys]


def _key(pair: list[str]) -> JobKey:
    return JobKey(project=pair[0], name=pair[1])


def _identity(parts: list[str]) -> Identity:
    kind, project, name = parts
    return kind, project, name
