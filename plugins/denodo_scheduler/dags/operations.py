"""The operations DAG of a pair: one task for what people do to it, others for the check, the doctor and the drill."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import token_hex
from typing import Any

from airflow.sdk import DAG, Param

from denodo_ha.doctor.diagnosis import Diagnosis
from denodo_ha.doctor.redaction import to_attach
from denodo_ha.pairs import Pair
from denodo_ha.record import Role
from denodo_ha.status import Level
from denodo_scheduler.alerts import send_test
from denodo_scheduler.dags import shared
from denodo_scheduler.dags.drill import add_drill
from denodo_scheduler.steps import check as checking
from denodo_scheduler.steps import operate as operating
from denodo_scheduler.steps.context import PairContext
from denodo_scheduler.steps.doctor import look as looking
from denodo_scheduler.steps.doctor import probe as probing
from denodo_scheduler.steps.outcome import Blocked, NothingToDo, readable

log = logging.getLogger(__name__)

DAG_DOC = """
### Operate the pair `{pair.name}`: master `{pair.master}`, slave `{pair.slave}`

| operation | what it does |
|---|---|
| pause | automation changes nothing, until `until` or until you resume it; it goes on observing |
| resume | automation goes on; what was interrupted is brought to its end |
| acknowledge | you have seen the last failover: the pair may fail over again. With `doubts`: you accept these |
| halt | nothing is changed on either server until you release the pair |
| release | back to the phase before the halt |
| initialise | you say which server is the active one, for example when the record was lost |
| check | tells whether the pair could change its active server now; changes nothing, and leaves no event |
| drill | runs the jobs that `drill` of the pair names on the passive slave, and disables them again |
| doctor | tells what both servers are and how they are spoken to; with `probe` it also tries things out |

No operation changes a server but `drill`, and a doctor with your consent `probe`: it makes two scratch projects on the
passive server, whose jobs are disabled or due in 2099, and deletes them. Each but `check` needs a reason, and each but
`check` and a doctor that only reads leaves an event with it in the pair's history. A scheduled run is a check, see
`check.schedule` of the pair.
"""

CHECK, DOCTOR, DRILL = "check", "doctor", "drill"


def _only(*operations: str, consent: str | None = None) -> Callable[[Any], None]:
    """Skip a task, before it does anything, unless the run is for one of these operations.

    :param consent: the box that has to be ticked too.
    """

    def skip(context: Any) -> None:
        params = context["params"]
        if params["operation"] not in operations or (consent and not params[consent]):
            raise NothingToDo("not_asked_for", "another task does what this run was asked for")

    return skip


@shared.step(priority_weight=50, pre_execute=_only(*operating.MANUAL_OPERATIONS))
def operate(**context: Any) -> dict[str, Any]:
    """Change the HA record of the pair, write the event, and ask the failover DAG for a look. The XCom says what was
    done; where an operation makes no sense the task fails with the reason, and nothing was changed.
    """
    run, params = shared.pair_context(context), context["params"]
    with shared.publishing(run, context), shared.explaining(context):
        active = Role(params["active"]) if params["active"] else None
        request = operating.Request(params["operation"], _moment(params["until"]), active, params["doubts"] or ())
        done = operating.operate(run, request)
    if done.event:
        shared.tell(context, done.event)
    else:
        shared.note(context, done.what)
    shared.ask_for_a_look(context, params["operation"], result=done.to_json())


@shared.step(pre_execute=_only(CHECK), **shared.CHANGES_NOTHING)
def check(**context: Any) -> dict[str, Any]:
    """Read both servers, the record, the storage and the options, and tell whether the pair is ready for a change of
    its active server: in the log, the note, the XCom and, for `denodo-ha check`, the asset's state store. Fails where
    a finding is critical. It does not wait for the pair's slot, and nothing waits for it.
    """
    run = shared.pair_context(context)
    test = partial(send_test, run.pair, context) if context["params"]["test_message"] else None
    found = checking.check(run, shared.watch_store(context).load(), send_test=test)
    shared.keep_readiness(context, found)
    shared.note(context, f"CHECK: {found.summary}")
    checking.log_findings(found)
    if found.level is Level.CRITICAL:
        refused = checking.refuse(found)
        shared.leave_problem(context, refused.reason)
        raise refused
    return found.to_json()


@shared.step(pre_execute=_only(DOCTOR), **shared.CHANGES_NOTHING)
def doctor(**context: Any) -> dict[str, Any]:
    """Read both servers and tell what they are, what goes where in an export and an import, what could not be bound
    and what is taken for granted: in the log, the note, the XCom, the file `doctor.json` beside the snapshots and, for
    `denodo-ha doctor`, the asset's state store. Changes nothing, and does not wait for the pair's slot.
    """
    with shared.explaining(context):
        run = shared.pair_context(context)
        return _found(context, run, looking.look(run))


@shared.step(pre_execute=_only(DOCTOR, consent="probe"), **shared.CHANGES_NOTHING)
def probe(_: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Try out on the passive server what reading cannot tell, in scratch projects that are deleted at the end, and note
    what was learned in the record, by which the syncs go. A retry first deletes what a killed try has left. It does not
    wait for the pair's slot, and yields to whatever begins: its right is that of the record.
    """
    run = shared.pair_context(context)
    with shared.publishing(run, context), shared.explaining(context):
        before = readable(Diagnosis.from_json, shared.kept(context, shared.DOCTOR_KEY))
        return _found(context, run, probing.probe(run, before))


def _found(context: Any, run: PairContext, diagnosis: Diagnosis) -> dict[str, Any]:
    """Keep and tell what a doctor has found; returns what may be attached to an issue."""
    shared.note(context, f"DOCTOR: {diagnosis.summary}"[:900])
    for line in diagnosis.lines:
        log.info("%s", line)
    found = diagnosis.to_json()
    shared.keep(context, shared.DOCTOR_KEY, found)
    attached = to_attach(found, hashed=context["params"]["hash_names"], salt=token_hex())
    where = run.snapshots.write_report(json.dumps(attached, indent=2, ensure_ascii=False))
    log.info("The report to be attached to an issue: %s", where)
    return attached


def operations_dag(pair: Pair) -> DAG:
    """Build the operations DAG of one pair. Makes no request and reads no Variable or Connection."""
    with shared.pair_dag(
        pair,
        pair.dag_id_operations,
        name="4 operations",
        description=f"Pause, resume, acknowledge, halt, release, initialise, check, diagnose or drill {pair.name}",
        doc=DAG_DOC,
        params=_params(),
        schedule=pair.check.schedule,
        default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    ) as dag:
        operate()
        check()
        probe(doctor())
        add_drill(_only(DRILL))
    return dag


def _moment(text: str | None) -> datetime | None:
    """The form's date and time, which are UTC unless they say otherwise."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Blocked("until_invalid", f"'until' is {text!r}", "write it like 2026-03-02T06:00:00+00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _params() -> dict[str, Param]:
    return {
        "operation": Param(
            CHECK,
            type="string",
            enum=[*operating.MANUAL_OPERATIONS, CHECK, DOCTOR, DRILL],
            title="Operation",
            description="What to do; the documentation of this DAG explains each.",
        ),
        "reason": shared.optional_text(
            "Reason", "Why; kept in the history. Each operation but a check needs one.", minLength=1
        ),
        "until": shared.optional_text(
            "Until",
            "Pause only: when automation goes on by itself. Without it, the pair stays paused until you resume it.",
            format="date-time",
        ),
        "doubts": Param(
            [],
            type=["null", "array"],
            items={"type": "string"},
            title="Doubts",
            description="Acknowledge only: the names of what you accept, one a line, as `denodo-ha status` shows them. "
            "Without names: the last failover, or else all warnings of imports.",
        ),
        "probe": shared.tick(
            "Try things out",
            "Doctor only: your consent to make two scratch projects on the passive server, to import them there and to "
            "delete them. Nothing else is changed.",
        ),
        "hash_names": shared.tick(
            "Hash names", "Doctor only: the report that you attach to an issue has hashes in place of names and hosts."
        ),
        "active": shared.optional_text(
            "Active server",
            "Initialise only: the server that is the active one. Look which one has enabled jobs.",
            enum=[None, *(str(role) for role in Role)],
        ),
        "test_message": shared.tick(
            "Test message", "Check only: send a test message by each notifier of the pair, and say which ones failed."
        ),
    }
