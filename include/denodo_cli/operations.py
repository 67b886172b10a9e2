"""The commands that change something: each starts a run of one of the pair's DAGs, as its form does, and follows it.

What moves production is told first, and asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import httpx

from denodo_cli.airflow_api import AirflowApiError, ApiClient, Json
from denodo_cli.following import Say, follow
from denodo_cli.options import duration, explained
from denodo_cli.reading import read
from denodo_cli.runs import RunError, start
from denodo_ha.durations import age_of
from denodo_ha.pairs import Pair
from denodo_ha.preconditions import other
from denodo_ha.record import Record, Role
from denodo_ha.sight import Seen, Sight
from denodo_ha.status import Level

MANUAL = ("pause", "resume", "acknowledge", "halt", "release", "initialise")
CHANGES = {"switchover": None, "fail-back": Role.MASTER}
"""The commands that change the active server; None: to the one that is passive now."""
CONSENTS = ("fail_over", "accept_old_snapshot", "fenced")
FORM = {
    "look": ("dry_run", *CONSENTS),
    "sync": ("dry_run", "accept_mass_change", "deliver_now", "quiet_window", "quiet_timeout", "orphans"),
    "re-protect": ("dry_run", "accept_mass_change", "deliver_now", "quiet_window", "quiet_timeout", "orphans"),
    **dict.fromkeys(
        CHANGES,
        (
            "dry_run",
            "accept_differences",
            "accept_not_ready",
            "how",
            "drain_timeout",
            "at_drain_timeout",
            "quiet_window",
            "quiet_timeout",
        ),
    ),
    **dict.fromkeys(MANUAL, ()),
    "pause": ("until",),
    "acknowledge": ("doubts",),
    "initialise": ("active",),
}
"""The fields of the form that each command has as an option, besides its reason."""

_HELP = {
    "look": "have the failover DAG look at the pair now; with --fail-over, fail over if the master is down",
    "sync": "copy the active server's jobs to the passive one, all disabled",
    "re-protect": "while the slave is active: copy it to the master, whose jobs stay disabled",
    "switchover": "make the other server the active one",
    "fail-back": "make the master the active server again",
    "pause": "automation changes nothing until you resume it; it goes on looking",
    "resume": "automation goes on",
    "acknowledge": "you have seen the last failover, or accept doubts about a server",
    "halt": "nothing is changed on either server until you release the pair",
    "release": "end a halt: back to the phase before it",
    "initialise": "say which server is the active one now; look first which one has enabled jobs",
}
_TICKS = {
    "dry_run": "only look, and say what would be done",
    "fail_over": "if the master is down: fail over, although the policy asks a person first",
    "accept_old_snapshot": "promote the snapshot although it is older than the pair allows",
    "fenced": "you made sure that the master's Scheduler cannot start again by itself",
    "accept_mass_change": "it is right that so many jobs vanished or became disabled",
    "deliver_now": "send also jobs that have no safe moment: each may run once on the target",
    "accept_differences": "jobs that differ on the other server, or are missing there, may stay so",
    "accept_not_ready": "go on although the readiness check finds something critical",
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "quiet_window": {"type": duration, "metavar": "DURATION", "help": "for how long no job may be due"},
    "quiet_timeout": {"type": duration, "metavar": "DURATION", "help": "how long a moment is waited for at most"},
    "drain_timeout": {"type": duration, "metavar": "DURATION", "help": "how long jobs that run are waited for"},
    "orphans": {"choices": ("report", "delete"), "help": "what becomes of jobs that only the target has"},
    "how": {"choices": ("drain", "quiet_window"), "help": "drain at once, or wait for a quiet window first"},
    "at_drain_timeout": {"choices": ("give_up", "stop_them"), "help": "what becomes of jobs that still run then"},
}
_AFRESH = "It only looks, and changes nothing, if the pair's rules are against it."


def add_operations(commands: Any, run: Callable[[argparse.Namespace], int]) -> list[argparse.ArgumentParser]:
    """Add the commands to the parser.

    :param run: what they call with the parsed arguments.
    """
    made = []
    for name, fields in FORM.items():
        command = commands.add_parser(name, help=_HELP[name], description=_HELP[name])
        command.set_defaults(run=run, without_run=Level.CRITICAL, usage_error=command.error)
        needed = name in (*CHANGES, *MANUAL)
        command.add_argument("--reason", required=needed, metavar="TEXT", help="why; kept in the history")
        for field in fields:
            _add_field(command, field)
        command.add_argument("--yes", action="store_true", help="do not ask")
        command.add_argument("--no-wait", action="store_true", help="start it, and do not wait for its end")
        add_patience(command)
        made.append(command)
    return made


def add_patience(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--patience",
        type=duration,
        metavar="DURATION",
        help="how long the end of the run is waited for; the run itself goes on (default: as long as it takes)",
    )


def _add_field(command: argparse.ArgumentParser, field: str) -> None:
    option = f"--{field.replace('_', '-')}"
    if field in _TICKS:
        command.add_argument(option, action="store_true", help=_TICKS[field])
    elif field in _OPTIONS:
        command.add_argument(option, **{"help": "the pair's own by default", **_OPTIONS[field]})
    elif field == "until":
        command.add_argument(
            option,
            type=_until,
            metavar="WHEN",
            help="a time such as 2027-03-02T06:00 (UTC unless it says otherwise), or a duration such as 2h",
        )
    elif field == "doubts":
        doubt = "one that is accepted, by its name; may be given several times. Without: the last failover"
        command.add_argument("--doubt", dest="doubts", action="append", metavar="NAME", help=doubt)
    else:
        command.add_argument(option, required=True, choices=[str(role) for role in Role], help="it is active now")


def _until(text: str) -> str:
    now = datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = now + duration(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise argparse.ArgumentTypeError(f"{moment.isoformat()} is over already")
    return moment.isoformat(timespec="seconds")


# -- what it does


def operate(args: argparse.Namespace, api: ApiClient, say: Say) -> int:
    """Ask where production moves, start the run, and follow it to its end. It is a wrong command line where there is
    nobody to ask.

    :raises RunError: Airflow would not run it.
    """
    form = form_of(args)
    if args.command == "look" and any(form.get(name) for name in CONSENTS) and not args.reason:
        args.usage_error("a consent needs --reason")
    asks = _moves_production(args.command, form)
    if asks and not args.yes and not sys.stdin.isatty():
        args.usage_error("this moves production and there is no terminal to ask at: say --yes, or --dry-run to look")
    situation = _Situation(api, args.pair)
    dag_id, conf = asked_for(args, form, situation)
    if asks and not args.yes and not _agreed(args, conf, situation):
        print(f"WARNING - pair {args.pair}: nothing was started")
        return Level.WARNING
    run_id = f"denodo-ha__{args.command}__{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}__{token_hex(4)}"
    _start(args, api, dag_id, conf, run_id)
    if args.no_wait:
        print(f"OK - pair {args.pair}: started. Next: follow it by denodo-ha follow {args.pair} {run_id}")
        return Level.OK
    say(f"started the run {run_id} of {dag_id}")
    return follow(args, api, dag_id, run_id, say)


def _start(args: argparse.Namespace, api: ApiClient, dag_id: str, conf: Json, run_id: str) -> None:
    try:
        start(api, dag_id, conf, run_id)
    except (httpx.TransportError, AirflowApiError, KeyboardInterrupt) as error:
        if isinstance(error, AirflowApiError) and error.status < httpx.codes.INTERNAL_SERVER_ERROR:
            raise
        why = "ended by Ctrl-C" if isinstance(error, KeyboardInterrupt) else explained(error, args.url)
        how = f"see whether it was: denodo-ha follow {args.pair} {run_id}"
        raise RunError(f"{why}. It is not known whether the run was started. Next: {how}", Level.UNKNOWN) from None


def form_of(args: argparse.Namespace) -> Json:
    """The fields that were given; the others are left to the form."""
    given = {name: getattr(args, name) for name in (*FORM[args.command], "reason")}
    plain = {name: int(v.total_seconds()) if isinstance(v, timedelta) else v for name, v in given.items()}
    return {name: value for name, value in plain.items() if value not in (None, False)}


def _moves_production(command: str, form: Json) -> bool:
    if form.get("dry_run"):
        return False
    if command in (*CHANGES, "re-protect", "halt", "release", "initialise"):
        return True
    return any(map(form.get, (*CONSENTS, "deliver_now", "accept_mass_change"))) or form.get("orphans") == "delete"


def asked_for(args: argparse.Namespace, form: Json, situation: _Situation) -> tuple[str, Json]:
    """The DAG that does it, and the form of its run.

    :raises RunError: the pair is not so that it could be done.
    """
    pair, command = Pair(name=args.pair), args.command
    if command in MANUAL:
        return pair.dag_id_operations, {"operation": command, **form}
    if command in CHANGES:
        active = situation.needed.active
        to = CHANGES[command] or other(active)
        if to is active:
            raise RunError(f"the {active} is the active server already; nothing was started")
        return pair.dag_id_switchover, {"direction": f"to_{to}", **form}
    if command == "look":
        return pair.dag_id_failover, form
    if command == "re-protect" and situation.needed.active is Role.MASTER:
        raise RunError("the master is the active server, so there is nothing to re-protect; nothing was started")
    return pair.dag_id_sync, {**({"reprotect": True} if command == "re-protect" else {}), **form}


class _Situation:
    """The pair as it is before anything is started.

    :raises UnknownPairError: there is no such pair.
    """

    def __init__(self, api: ApiClient, pair: str) -> None:
        self._sight = Sight(Seen(pair, read(api, pair)), datetime.now(UTC))
        self.pair, self.record = pair, self._sight.record

    @property
    def needed(self) -> Record:
        """:raises RunError: there is no record, or none that can be read."""
        if self.record is None:
            how = f"see denodo-ha status {self.pair}"
            raise RunError(f"the pair has no HA record that can be read; nothing was started. Next: {how}")
        return self.record

    def server(self, role: Role) -> str:
        address = getattr(self.record, role) if self.record else None
        return f"the {role} ({address})" if address else f"the {role}"

    def enabled(self, role: Role) -> str:
        if counts := self._sight.enabled(role):
            return "{} of {} jobs are enabled on the {}".format(*counts, role)
        return f"How many jobs are enabled on the {role} is not known"


def _agreed(args: argparse.Namespace, conf: Json, situation: _Situation) -> bool:
    for line in _told(args, conf, situation):
        print(line, file=sys.stderr)
    print(f"Go on with the pair {args.pair}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _told(args: argparse.Namespace, conf: Json, situation: _Situation) -> Iterator[str]:
    """What it will do: from whom to whom, how many jobs, and how old what is promoted is."""
    record, command = situation.record, args.command
    active = record.active if record else Role.MASTER
    passive = other(active)
    here, there = situation.server(active), situation.server(passive)
    if command in CHANGES:
        yield f"Change the active server from {here} to {there}."
        yield f"{situation.enabled(active)}. Each is disabled when it rests, then all are enabled on the {passive}."
        if conf.get("at_drain_timeout") == "stop_them":
            yield "At the drain timeout jobs that still run are stopped."
    elif command == "look":
        yield from _fails_over(record, here, there)
    elif command in ("sync", "re-protect"):
        yield f"Copy the jobs of {here} to {there}, all disabled."
        if conf.get("deliver_now"):
            pending = len(record.pending) if record else 0
            yield f"Jobs that have no safe moment are sent too ({pending} are pending); each may run once there."
        if conf.get("accept_mass_change"):
            yield "It is accepted that many jobs vanished or are disabled on the source."
        if conf.get("orphans") == "delete":
            yield f"Jobs that only {there} has are deleted there."
    elif command == "halt":
        yield "Nothing is changed on either server until the pair is released, also where the master is down."
        yield f"The active server is {here}. {situation.enabled(active)}."
    elif command == "release":
        before = record.halted.phase if record and record.halted else "the one before"
        yield f"Automation acts again, in the phase {before}."
        yield f"The active server is {here}. {situation.enabled(active)}."
    else:
        known = f"The record says {active}, epoch {record.epoch}." if record else "There is no record that can be read."
        yield f"From now on {situation.server(Role(conf['active']))} counts as the active server. {known}"
        yield from (f"{situation.enabled(role)}." for role in Role)
    yield _age(record)


def _fails_over(record: Record | None, here: str, there: str) -> Iterator[str]:
    if record and record.active is Role.SLAVE:
        yield f"T{here[1:]} is the active server already, so nothing fails over. {_AFRESH}"
        return
    yield f"If the master is down: fail over from {here} to {there}. {_AFRESH}"
    yield f"{record.snapshot.enabled if record and record.snapshot else 'No'} jobs would be enabled there."


def _age(record: Record | None) -> str:
    if record is None or record.snapshot is None:
        return "There is no committed snapshot."
    snapshot = record.snapshot
    return (
        f"The snapshot of the {snapshot.source} is {age_of(snapshot.taken, datetime.now(UTC))} old: {snapshot.jobs} "
        f"jobs, {snapshot.enabled} to be enabled."
    )
