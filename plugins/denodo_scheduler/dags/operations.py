"""The operations DAG of a pair: what people do to it, in one task, the readiness check in another, and the drill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param

from denodo_ha.pairs import Pair
from denodo_ha.record import Role
from denodo_ha.status import Level
from denodo_scheduler.alerts import send_test
from denodo_scheduler.dags import shared
from denodo_scheduler.dags.drill import add_drill
from denodo_scheduler.steps import check as checking
from denodo_scheduler.steps import operate as operating
from denodo_scheduler.steps.outcome import Blocked, NothingToDo

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

No operation but `drill` changes a server. Each but `check` needs a reason, and leaves an event with it on the asset
`{pair.asset_uri}`. A scheduled run is a check, see `check.schedule` of the pair.
"""

CHECK, DRILL = "check", "drill"


def _only(*operations: str) -> Callable[[Any], None]:
    """Skip a task, before it does anything, unless the run is for one of these operations."""

    def skip(context: Any) -> None:
        if context["params"]["operation"] not in operations:
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
    shared.note(context, done.what)
    shared.ask_for_a_look(context, params["operation"])
    return done.to_json()


@shared.step(pre_execute=_only(CHECK), **shared.CHANGES_NOTHING)
def check(**context: Any) -> dict[str, Any]:
    """Read both servers, the record, the storage and the options, and tell whether the pair is ready for a change of
    its active server: in the log, the note, the XCom and, for `denodo-ha check`, the asset's state store. Fails where
    a finding is critical. It does not wait for the pair's slot, and nothing waits for it.
    """
    run = shared.pair_context(context)
    test = partial(send_test, run.pair, context) if context["params"]["test_message"] else None
    found = checking.check(run, shared.watch_store(context).load(), send_test=test)
    shared.keep_check(context, found.to_json())
    shared.note(context, f"CHECK: {found.summary}")
    if found.level is Level.CRITICAL:
        raise checking.refuse(found)
    return found.to_json()


def operations_dag(pair: Pair) -> DAG:
    """Build the operations DAG of one pair. Makes no request and reads no Variable or Connection."""
    with shared.pair_dag(
        pair,
        pair.dag_id_operations,
        description=f"Pause, resume, acknowledge, halt, release, initialise, check or drill the pair {pair.name}",
        doc=DAG_DOC,
        params=_params(),
        schedule=pair.check.schedule,
        default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    ) as dag:
        operate()
        check()
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
            enum=[*operating.MANUAL_OPERATIONS, CHECK, DRILL],
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
        "active": shared.optional_text(
            "Active server",
            "Initialise only: the server that is the active one. Look which one has enabled jobs.",
            enum=[None, *(str(role) for role in Role)],
        ),
        "test_message": shared.tick(
            "Test message", "Check only: send a test message by each notifier of the pair, and say which ones failed."
        ),
    }
