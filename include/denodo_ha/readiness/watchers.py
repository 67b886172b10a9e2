"""Readiness checks of what watches the pair, and of who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from denodo_ha.durations import age_of
from denodo_ha.readiness.facts import ReadyFacts, Unread, known
from denodo_ha.readiness.findings import Said, critical, fine, warning
from denodo_ha.text import listed
from denodo_ha.watching import MONITOR_SLACK


def _monitor(facts: ReadyFacts) -> Said:
    looked, dag_id = known(facts.looked), facts.pair.dag_id_failover
    how = f"unpause {dag_id}, and look whether Airflow's scheduler and triggerer run"
    rests_on = "the last look, for which Airflow's scheduler, triggerer and a worker had to run"
    if looked is None:
        return critical("the failover DAG has never looked at the pair", how, rests_on)
    said = f"the failover DAG looked at the pair {age_of(looked, facts.now)} ago"
    if facts.now - looked > facts.pair.watch.duration + MONITOR_SLACK:
        return critical(f"{said}, so nothing would take over", how, rests_on)
    return fine(said, rests_on)


def _notifiers(facts: ReadyFacts) -> Said:
    number, sent = facts.notifiers, facts.test_message
    rests_on = "the file of pairs; none was called" if sent is None else "a test message to each"
    if isinstance(number, Unread):
        return warning(f"not everybody would be told: {number.why}", number.next_step, rests_on)
    if not number:
        return warning("nobody is told of a failover", "configure 'alerts.notify' of the pair", rests_on)
    if sent is None:
        return fine(f"{number} notifiers can be built", rests_on)
    if failed := {name: why for name, why in known(sent).items() if why}:
        what = f"{len(failed)} of {number} notifiers have not sent the test message: "
        what += listed((f"{name} ({why})" for name, why in failed.items()), between="; ")
        return warning(what, "correct their arguments or connections; the log of the check says more", rests_on)
    return fine(
        f"{number} notifiers have sent the test message: {listed(known(sent))}; see whether it arrived", rests_on
    )


def _deadline(facts: ReadyFacts) -> Said:
    """Its callback runs where no task runs, and has no way to Airflow's database."""
    alert, dag_id = known(facts.deadline), facts.pair.dag_id_failover
    rests_on = "environment variables and the secrets backend of this worker"
    if not alert.notifiers:
        how = "let a notifier in 'alerts.notify' of the pair have the alert monitor_stopped"
        return warning("nobody is told when nothing watches the pair any more", how, "the file of pairs")
    if alert.missing:
        what = f"the deadline of {dag_id} cannot tell people that it is late: only Airflow's database may have the "
        what += f"connections {listed(alert.missing)}"
        how = "give them to scheduler, triggerer and workers as environment variables AIRFLOW_CONN_…, or in a secrets "
        how += "backend"
        return warning(what, how, rests_on)
    return fine(f"the deadline of {dag_id} reaches the connections of its {alert.notifiers} notifiers", rests_on)


OF_WATCHERS: Mapping[str, Callable[[ReadyFacts], Said]] = {
    "monitor": _monitor,
    "notifiers": _notifiers,
    "deadline": _deadline,
}
