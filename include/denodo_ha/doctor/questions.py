"""What a doctor tries out in scratch projects: each question, the contract's word, and how what was seen is judged.

The contract's marks: V verified on a live server, D manual, KB knowledge base, S seen in a genuine file, Q Quartz,
G guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from denodo_ha.delivery.capabilities import Capabilities, Tried
from denodo_ha.delivery.moments import FAR_AWAY
from denodo_ha.doctor.diagnosis import Answer, Found
from denodo_ha.readiness.facts import Unread
from denodo_ha.status import Level
from denodo_ha.text import listed

OK, WARNING, CRITICAL, UNKNOWN = Level.OK, Level.WARNING, Level.CRITICAL, Level.UNKNOWN

NEVER = "0 0 12 15 1 ? 2099"
"""A cron that fires once, in the last year that Quartz knows."""
IN_SUMMER = "0 0 12 15 7 ? 2099"
PAST = "0 0 12 1 1 ? 2020,2099"
"""A cron that was due once in the past, counted from :data:`BEGAN` on, and is due again in 2099."""
BEGAN = "2019-01-01T00:00:00Z"


@dataclass(frozen=True)
class Content:
    """What became of a job of one type that was written over REST.

    :param refused: why the server refused it; empty where it took it.
    :param disabled: whether it was read back disabled, by its status and by its definition.
    :param lost: the fields that were read back otherwise than they were sent.
    :param put: the same after a PUT of the whole job, which has changed its description.
    :param imported: the same after an export of the server was imported; None where that was not tried.
    """

    refused: str = ""
    disabled: bool = True
    lost: tuple[str, ...] = ()
    put: tuple[str, ...] = ()
    imported: tuple[str, ...] | None = None

    @property
    def faithful(self) -> bool:
        """Whether a sync may write jobs of this type over REST. A data source of another project is no part of it."""
        back = [path for path in self.imported or () if "datasource" not in path.casefold()]
        return not self.refused and self.disabled and not self.lost and not self.put and not back


@dataclass(frozen=True)
class Question:
    """A question to a server.

    :param claim: the contract's word. :param rests_on: what was done to find out.
    :param judge: says what is to be thought of what was seen.
    """

    claim: str
    mark: str
    rests_on: str
    judge: Callable[[Any], Found]


def _yes_no(yes: Found, no: Found) -> Callable[[bool], Found]:
    return lambda seen: yes if seen else no


def _born(seen: bool) -> Found:
    if seen:
        return Found("confirmed", OK, "a job that is written with disabled: true is disabled from the beginning")
    how = "nothing has to be done: syncs import jobs then, each at a moment in which it cannot fire"
    return Found("refuted", WARNING, "a job that was written with disabled: true was enabled", how)


def _put(seen: Sequence[str]) -> Found:
    if not seen:
        return Found("confirmed", OK, "a job that is written whole by a PUT is read back so, under its id, disabled")
    how = "nothing has to be done: syncs import jobs of the types that this concerns"
    return Found("refuted", WARNING, f"a PUT of a whole job loses or changes {listed(seen)}", how)


def _bulk(seen: tuple[int, int, int]) -> Found:
    wanted, enabled, disabled = seen
    if (enabled, disabled) == (wanted, wanted):
        return Found("confirmed", OK, f"one request has enabled {wanted} jobs, and one has disabled them again")
    what = f"of {wanted} jobs in one request {enabled} were read back enabled, and then {disabled} disabled"
    return Found("refuted", CRITICAL, what, "do not rely on this pair; attach this report to an issue")


def _zone(seen: tuple[datetime, datetime]) -> Found:
    january, july = (str(timezone(timedelta(seconds=each))) for each in offsets_of(seen))
    return Found("confirmed", OK, f"the crons of the server are on {january} in January and {july} in July")


def offsets_of(seen: tuple[datetime, datetime]) -> tuple[int, int]:
    """Return how many seconds the clock of a server's crons is ahead of UTC.

    :param seen: the next executions of :data:`NEVER` and :data:`IN_SUMMER`.
    :raises ValueError: no time zone explains them.
    """
    one, other = (round((noon - at).total_seconds()) for noon, at in zip(FAR_AWAY, seen, strict=True))
    if max(abs(one), abs(other)) > timedelta(hours=18).total_seconds():
        raise ValueError(f"the next executions {seen[0]} and {seen[1]} are no noon of any time zone")
    return one, other


def _deletes(seen: Sequence[str]) -> Found:
    if not seen:
        return Found("confirmed", OK, "an import leaves what it does not hold as it is")
    how = "nothing has to be done: each import of a sync sends the whole archive then"
    return Found("refuted", WARNING, f"an import has deleted what it did not hold: {listed(seen)}", how)


def _untouched(seen: Sequence[str]) -> Found:
    if not seen:
        return Found("confirmed", OK, "an import without a switch to replace leaves a job that is there as it is")
    what = f"an import that was told to replace nothing has changed a job all the same: {listed(seen)}"
    how = (
        "the options of the import are bound and ignored: give their right places in import_options, see "
        '"connections" in the documentation'
    )
    return Found("refuted", WARNING, what, how)


def _content(kind: str) -> Callable[[Content], Found]:
    def judge(seen: Content) -> Found:
        said = {
            f"REST refuses it ({seen.refused})": seen.refused,
            "it was read back enabled": not seen.disabled,
            f"a POST loses or changes {listed(seen.lost)}": seen.lost,
            f"a PUT loses or changes {listed(seen.put)}": seen.put,
            f"an export and its import lose or change {listed(seen.imported or ())}": seen.imported,
        }
        wrong = [text for text, holds in said.items() if holds]
        if not wrong:
            more = "" if seen.imported is not None else "; its import was not tried"
            return Found("confirmed", OK, f"REST writes a job of the type {kind} as it is{more}")
        how = "nothing has to be done: syncs import jobs of this type, which takes a moment in which they cannot fire"
        if seen.faithful:
            return Found("refuted", OK, f"REST writes a job of the type {kind} as it is, but {'; '.join(wrong)}")
        return Found("refuted", WARNING, f"a job of the type {kind}: {'; '.join(wrong)}", how)

    return judge


_REPLACED = "a second import of the same job, with the switch to replace"
QUESTIONS: Mapping[str, Question] = {
    "born disabled": Question(
        "POST of a job honours disabled: true", "V", "jobs that were made with disabled: true, and read back", _born
    ),
    "put": Question(
        "PUT of a whole job keeps all that is in it, its id and disabled: true",
        "V",
        "a job that was read, changed in its description and written again",
        _put,
    ),
    "bulk": Question(
        "one request enables, or disables, several jobs of a project",
        "V, KB",
        "requests for two jobs, read back",
        _bulk,
    ),
    "time zone": Question(
        "a cron is on the server's clock, with no time zone of its own",
        "V",
        "the next executions of jobs that are due at noon in January and in July of 2099",
        _zone,
    ),
    "past start, enabled": Question(
        "a trigger whose startTime is past may fire at once when its job is enabled",
        "Q",
        "a job that does nothing, with such a trigger, which was enabled",
        _yes_no(
            Found("confirmed", OK, "a job whose start time is past fires as soon as it is enabled"),
            Found("refuted", OK, "a job whose start time is past does not fire when it is enabled"),
        ),
    ),
    "past start, imported": Question(
        "a trigger whose startTime is past may fire at once when its job is imported",
        "Q",
        "a job that does nothing, with such a trigger, which was imported",
        _yes_no(
            Found("confirmed", OK, "a job whose start time is past fires as soon as it is imported"),
            Found("refuted", OK, "a job whose start time is past does not fire when it is imported"),
        ),
    ),
    "import deletes": Question(
        "an import deletes nothing that the file does not hold", "D", "jobs that were left out of the file", _deletes
    ),
    "import enables": Question(
        "an import enables the jobs that it brings",
        "KB, S",
        "jobs that were exported disabled, deleted, and imported",
        _yes_no(
            Found("confirmed", OK, "an import enables the jobs that it brings"),
            Found("refuted", OK, "an import leaves the jobs that it brings disabled"),
        ),
    ),
    "import without replace": Question(
        "an import leaves an existing job as it is where it is not told to replace",
        "D",
        "a job that was changed after the export, and an import that was told to replace nothing",
        _untouched,
    ),
    "import with replace": Question(
        "an import that is told so replaces the definition of a job",
        "D",
        _REPLACED,
        _yes_no(
            Found("confirmed", OK, "an import replaces the definition of a job where it is told so"),
            Found(
                "refuted",
                CRITICAL,
                "an import that was told to replace a job has left its definition, so its options are ignored",
                'give the right place of replaceJobs in import_options, see "connections" in the documentation',
            ),
        ),
    ),
    "import keeps ids": Question(
        "an import keeps the id of a job that it replaces",
        "G",
        _REPLACED,
        _yes_no(
            Found("confirmed", OK, "a job that an import replaces keeps its id"),
            Found("refuted", OK, "a job that an import replaces gets a new id"),
        ),
    ),
    "import enables what it replaces": Question(
        "an import enables a job that it replaces, whatever it was before",
        "KB, S",
        _REPLACED,
        _yes_no(
            Found("confirmed", OK, "a disabled job that an import replaces is enabled"),
            Found("refuted", OK, "a disabled job that an import replaces stays disabled"),
        ),
    ),
}
"""All but those about each type of job, which :func:`answers` adds."""


def answers(seen: Mapping[str, Any], types: Mapping[str, Content | Unread]) -> list[Answer]:
    """Return the answer to each question that is about what was tried out.

    :param seen: what was seen of each question, or why it could not be. What is not there was not come to.
    :param types: what became of a job of each type.
    """
    found = [_answer(code, question, seen.get(code, _NOT_TRIED)) for code, question in QUESTIONS.items()]
    for kind, content in types.items():
        question = Question(
            "REST and the export file agree on each type of job", "G", "a disabled copy of a job", _content(kind)
        )
        found.append(_answer(f"content {kind}", question, content))
    return found


_NOT_TRIED = Unread("it was not tried", "see why the doctor has ended early, then run it again")


def _answer(code: str, question: Question, seen: Any) -> Answer:
    if not isinstance(seen, Unread):
        try:
            return of_found(code, question.judge(seen), question)
        except ValueError as error:
            seen = Unread(str(error), "attach this report to an issue")
    found = Found("unknown", UNKNOWN, f"{code}: {seen.why}", seen.next_step)
    return of_found(code, found, question)


def of_found(code: str, found: Found, question: Question) -> Answer:
    said = {"claim": question.claim, "mark": question.mark, "verdict": found.verdict} if question.claim else {}
    return Answer(found.level, found.text, found.next_step, code=code, rests_on=question.rests_on, **said)


def learned(
    known: Capabilities,
    seen: Mapping[str, Any],
    types: Mapping[str, Content | Unread],
    found: Sequence[Answer],
    at: datetime,
) -> Capabilities:
    """Return what is known of a server after things were tried out on it: in the fields by which a sync goes, and as
    evidence.

    :param known: what is known of its version so far. :param found: the answers about what was tried out.
    """
    deleted = seen.get("import deletes")
    if isinstance(deleted, Sequence):
        known = known.learned_import(replaces=bool(deleted))
    for kind, content in types.items():
        if isinstance(content, Content) and not (content.refused and kind in known.faithful):
            known = known.learned_faithful(kind) if content.faithful else known.learned_unfaithful(kind)
    fired, zone = seen.get("past start, imported"), seen.get("time zone")
    told = [
        Tried.model_validate({"question": each.code, "verdict": each.verdict, "seen": each.text, "at": at})
        for each in found
        if each.verdict in ("confirmed", "refuted")
    ]
    offsets = None
    if isinstance(zone, tuple) and any(each.question == "time zone" for each in told):
        offsets = offsets_of(zone)
    return known.learned_by_trying(
        told,
        offsets=offsets,
        past_start_fires=fired if isinstance(fired, bool) else None,
    )
