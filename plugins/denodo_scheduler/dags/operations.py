"""The operations DAG of a pair: what people do to it, in one task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from denodo_ha.pairs import Pair
from denodo_ha.record import Role
from denodo_scheduler.dags.shared import (
    START,
    ask_for_a_look,
    assets_of,
    default_args,
    explaining,
    pair_context,
    publishing,
)
from denodo_scheduler.steps import operate as operating
from denodo_scheduler.steps.outcome import Blocked

DAG_DOC = """
### Operate the pair `{pair}`: master `{master}`, slave `{slave}`

| operation | what it does |
|---|---|
| pause | automation changes nothing, until `until` or until you resume it; it goes on observing |
| resume | automation goes on; what was interrupted is brought to its end |
| acknowledge | you have seen the last failover: the pair may fail over again |
| halt | nothing is changed on either server until you release the pair |
| release | back to the phase before the halt |
| initialise | you say which server is the active one, for example when the record was lost |

No operation touches a server. Each leaves an event on the asset `{asset}`, with your reason.
"""
OPERATE_DOC = """
Changes the HA record of the pair, writes the event, and asks the failover DAG for a look. The XCom says what was done;
where an operation makes no sense the task fails with the reason, and nothing was changed.
"""


def operations_dag(pair: Pair) -> DAG:
    """Build the operations DAG of one pair. Makes no request and reads no Variable or Connection."""
    assets = assets_of(pair)

    with DAG(
        dag_id=pair.dag_id_operations,
        description=f"Pause, resume, acknowledge, halt, release or initialise the pair {pair.name}",
        doc_md=DAG_DOC.format(pair=pair.name, master=pair.master, slave=pair.slave, asset=pair.asset_uri),
        schedule=None,
        start_date=START,
        catchup=False,
        tags=["denodo", "denodo-ha", *pair.tags],
        default_args=default_args(pair, retries=2, retry_delay=timedelta(seconds=10)),
    ) as dag:

        @task(
            task_id="operate",
            doc_md=OPERATE_DOC,
            pool=pair.pool,
            priority_weight=50,
            multiple_outputs=False,
            **assets.of_a_task,
        )
        def operate(**context: Any) -> dict[str, Any]:
            run = pair_context(pair, assets, context)
            with publishing(run, assets, context), explaining(context):
                done = operating.operate(run, _request(context))
            ask_for_a_look(assets, context, context["params"]["operation"])
            return done.to_json()

        operate()
    dag.params.update(_params())
    return dag


def _request(context: Any) -> operating.Request:
    params = context["params"]
    active = Role(params["active"]) if params["active"] else None
    return operating.Request(params["operation"], until=_moment(params["until"]), active=active)


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
            type="string",
            enum=list(operating.OPERATIONS),
            title="Operation",
            description="What to do; the documentation of this DAG explains each.",
        ),
        "reason": Param(type="string", minLength=1, title="Reason", description="Why; kept in the history."),
        "until": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Until",
            description="Pause only: when automation goes on by itself. Without it, somebody has to resume it.",
        ),
        "active": Param(
            None,
            type=["null", "string"],
            enum=[None, *(str(role) for role in Role)],
            title="Active server",
            description="Initialise only: the server that is the active one. Look which one has enabled jobs.",
        ),
    }
