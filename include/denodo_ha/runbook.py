"""Where the documentation says what to do about a reason code, an alert or an event.

The pages of ``docs/`` are shown with an anchor at each heading, and at each word that a table explains in its first
column: :func:`row_anchor`. The incidents of ``docs/runbooks.md`` come before the rows of ``docs/operator.md``, which
lead to them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

CODES = {
    "of-the-failover-dag-what-decide-found": """
        healthy to_be_synced master_unread nothing_enabled operation_open paused paused_down paused_midway failed_over
        master_back control_path_broken misconfigured same_server shared_server isolated one_path halted record_lost
        record_contradicted record_unusable not_initialised servers_changed no_snapshot dirty_snapshot stale_snapshot
        cool_down not_acknowledged slave_unreachable active_unreachable second_path paused_split_brain
        slave_may_be_active manual approve approval_asked not_fenced interrupted fail_over resume complete quench
        drill_interrupted repair fail_back failed step_failed monitor_stopped""",
    "of-the-failover-dag-how-a-step-can-end": """
        overtaken superseded stale_evidence given_up lease_over not_fenced paused_midway halted snapshot_missing
        split_brain interrupted not_enabled still_enabled same_server record_lost reason_missing no_evidence unreadable
        storage""",
    "of-the-switchover-dag": """
        reason_missing dry_run not_begun draining not_needed paused halted operation_open already_active record_unusable
        record_lost servers_changed same_server shared_server sync_first not_ready promotion_incomplete nothing_enabled
        target_enabled looks_paused missing_on_target different old_answers unsteady window_closed superseded overtaken
        given_up rolled_back interrupted not_enabled not_restored lease_over""",
    "of-any-dag-and-of-the-file-of-pairs": "connection configuration token_refused no_token argument wrong_pair",
    "of-the-operations-dag": """
        reason_missing until_invalid until_past not_initialised record_unusable record_lost no_such_doubt active_missing
        operation_open same_server active_unreachable not_ready not_asked_for not_at_rest scratch_left import_unanswered
        superseded lease_over active_disagrees""",
    "of-a-drill": """
        no_drill_jobs reason_missing paused halted operation_open sync_first servers_changed same_server shared_server
        slave_active unreachable slave_enabled slave_may_be_active drill_failed drill_interrupted gave_way superseded
        interrupted not_disabled snapshot_missing lease_over ran not_there draft enabled_there disabled_on_active due
        may_fire would_release request_failed not_enabled not_begun not_ended disabled_meanwhile ended_badly""",
    "of-the-sync-dag": """
        go covered unchanged sync_failed nothing_to_wait_for superseded committed dry_run not_begun nothing_sent paused
        halted master_active slave_active failed_over failing_over failing_back operation_open promotion_incomplete
        use_operation not_initialised record_unusable record_lost same_server shared_server master_changed slave_changed
        slave_may_be_active master_may_be_active scope_empty export_refused metadata_changing mass_change
        snapshot_missing version import_unanswered target_enabled record_busy shared_storage import_late lease_short
        still_enabled looks_paused not_delivered not_verified""",
    "of-a-delivery-plan-what-a-sync-leaves-pending": """
        restless no_moment deferred waits_for_moment edited lacks_reference waits_for_pending circle""",
}
"""The codes that each section of ``docs/operator.md`` explains, in its order."""

KINDS = """
    initialised sync repaired drift quenched failover_begun failover_given_up failover completed approval_asked approved
    rejected switchover_begun switchover_given_up switchover_rolled_back switchover_stops switchover failback drill
    paused resumed acknowledged released halted doctor problem recovered monitor_stopped"""
"""The kinds of events of *History*."""

ALERTS = """
    failover blocked quenched split_brain drift halted stale_snapshot switchover recovered pending double_run drill
    monitor_stopped"""
"""The alerts of *Alerts*."""

FIRST: dict[str, tuple[str, ...]] = {
    "sync": ("of-the-sync-dag", "of-a-delivery-plan-what-a-sync-leaves-pending"),
    "switchover": ("of-the-switchover-dag",),
    "operations": ("of-the-operations-dag", "of-a-drill"),
    "drill": ("of-a-drill",),
}
"""The sections in which a code of such a DAG is looked for first; without one it is a code of the failover DAG."""

INCIDENTS = {
    "fail_over": "master-dead",
    "failed_over": "master-dead",
    "quench": "master-back",
    "master_back": "master-back",
    "same_server": "the-masters-name-leads-to-the-slave",
    "slave_unreachable": "slave-dead-during-failover",
    "interrupted": "slave-dead-during-failover",
    "active_unreachable": "the-slave-dies-while-it-is-active",
    "split_brain": "split-brain",
    "paused_split_brain": "split-brain",
    "slave_may_be_active": "split-brain",
    "repair": "split-brain",
    "record_lost": "record-lost",
    "fail_back": "fail-back",
}
"""The sections of ``docs/runbooks.md`` that are about a code of the failover DAG."""

INCIDENTS_OF_EVENTS = {
    "failover": "master-dead",
    "completed": "master-dead",
    "quenched": "master-back",
    "drift": "split-brain",
    "switchover": "planned-switchover",
    "switchover_rolled_back": "planned-switchover",
    "switchover_stops": "planned-switchover",
    "failback": "fail-back",
}
"""The sections of ``docs/runbooks.md`` that are about an event without a code."""


class Place(NamedTuple):
    """A place in the documentation.

    :param page: the name of the page without its extension.
    :param anchor: the part of the address behind the ``#``.
    """

    page: str
    anchor: str


def of_code(code: str, dag: str = "") -> Place:
    """Return where a reason code is explained: its runbook, or its row.

    :param dag: the kind of DAG that the code comes from, such as ``sync``; one word may be the code of several.
    :return: the chapter of all codes, where another version of the project knows the code and this one does not.
    """
    section = _section(code, dag)
    if not section:
        return Place("operator", "reason-codes")
    if code in INCIDENTS and (section.startswith("of-the-failover-dag") or code == "record_lost"):
        return Place("runbooks", INCIDENTS[code])
    first = next(each for each, codes in CODES.items() if code in codes.split())
    return Place("operator", row_anchor("code", section, code, () if section == first else {f"code-{code}"}))


def of_alert(alert: str) -> Place:
    """Return where the documentation tells when an alert is sent."""
    return Place("operator", f"alerts-{alert}" if alert in ALERTS.split() else "alerts")


def of_event(event: Mapping[str, Any], alert: str = "") -> Place:
    """Return where the documentation says what to do about an event of the history.

    :param alert: the alert by which people are told of it, where they are.
    """
    kind, code = str(event.get("kind") or ""), event.get("code")
    if code and _section(str(code)):
        return of_code(str(code), kind)
    if alert in ("pending", "double_run"):
        return of_alert(alert)
    if kind in INCIDENTS_OF_EVENTS:
        return Place("runbooks", INCIDENTS_OF_EVENTS[kind])
    if kind in KINDS.split():
        return Place("operator", f"history-{kind}")
    return of_alert(alert) if alert else Place("operator", "history")


def heading_anchor(heading: str, taken: Container[str] = ()) -> str:
    """Return the anchor that GitHub makes of the text of a heading.

    :param taken: the anchors of the headings before it on the page.
    """
    anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
    return _free(anchor, taken)


def row_anchor(column: str, section: str, word: str, taken: Container[str] = ()) -> str:
    """Return the anchor of a word that a row of a table explains in its first column.

    :param column: the title of that column.
    :param section: the anchor of the heading above the table.
    :param taken: the anchors before it on the page; a code that an earlier table explains too gets that of its section.
    """
    name = re.sub(r"[^\w\-]+", "-", word).strip("-")
    anchor = f"code-{name}"
    return anchor if column == "code" and anchor not in taken else _free(f"{section}-{name}", taken)


def _section(code: str, dag: str = "") -> str:
    sections = (*FIRST.get(dag, ()), *CODES)
    return next((section for section in sections if code in CODES[section].split()), "")


def _free(anchor: str, taken: Container[str]) -> str:
    number, free = 0, anchor
    while free in taken:
        number += 1
        free = f"{anchor}-{number}"
    return free
