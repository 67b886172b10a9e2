"""Alerts through real notifiers of Airflow's providers to receivers on this machine."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from html import escape
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from airflow.sdk import BaseNotifier
from airflow.sdk._shared.secrets_masker import redact

from denodo_demo.processes import free_port
from denodo_demo.slowness import allow
from denodo_ha.alerts import message
from denodo_ha.decisions import DECISIONS, Alert
from denodo_ha.pairs import Pair
from denodo_scheduler import alerts as notifications
from denodo_scheduler.alerts import notifiers, notify
from support.pairs import make_pair

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
SLACK_WEBHOOK = "airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier"
SLACK = "airflow.providers.slack.notifications.slack.SlackNotifier"
APPRISE = "airflow.providers.apprise.notifications.apprise.AppriseNotifier"
HERE = f"{__name__}."
TOKEN = "T0/B0/a-token-nobody-may-read"

EVENT = {
    "id": "e1",
    "kind": "failover",
    "pair": "sales",
    "epoch": 4,
    "at": "2026-03-01T12:00:00+00:00",
    "what": "the slave is the active server <now>",
    "next_step": "repair the master",
}
LINE = "[sales] failover: the slave is the active server <now>. Next: repair the master."


def pair(*notify: dict[str, Any]) -> Pair:
    return make_pair("sales", notify=notify)


class Mailbox:
    """A mail server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server and its connection ``mail``."""
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=free_port(0))
    server.start()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com", "retry_limit": 0}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.port, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
    yield mailbox
    server.stop()


@pytest.fixture
def slack(webtool: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A web server and the connection ``slack`` to its webhook."""
    webtool.on("POST", f"//services/{TOKEN}", b"ok")
    host = f"http://127.0.0.1:{webtool.port}/services"
    connection = {"conn_type": "slackwebhook", "host": host, "password": TOKEN}
    monkeypatch.setenv("AIRFLOW_CONN_SLACK", json.dumps(connection))
    return webtool


class TestReceivers:
    def test_mail(self, mailbox: Mailbox) -> None:
        sales = pair({"notifier": SMTP, "arguments": {"to": "duty@example.com", "smtp_conn_id": "mail"}})
        assert notify(sales, Alert.FAILOVER, EVENT, {}) == []
        (mail,) = mailbox.mails
        assert (mail["To"], " ".join(mail["Subject"].split())) == ("duty@example.com", LINE)
        body = mail.get_payload(0).get_payload(decode=True).decode()  # type: ignore[union-attr]
        assert f"<p>{escape(LINE)}</p>" in body
        assert "\nepoch: 4\n" in body.replace("\r", "")
        assert "<now>" not in body

    def test_slack_webhook(self, slack: Any) -> None:
        sales = pair({"notifier": SLACK_WEBHOOK, "arguments": {"slack_webhook_conn_id": "slack"}})
        assert notify(sales, Alert.FAILOVER, EVENT, {}) == []
        (request,) = slack.requests
        assert request.json["text"] == LINE

    def test_slack_api(self, webtool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        webtool.on("POST", "//api/chat.postMessage", {"ok": True})
        monkeypatch.setenv("AIRFLOW_CONN_SLACK", json.dumps({"conn_type": "slack", "password": "xoxb-secret"}))
        url = f"http://127.0.0.1:{webtool.port}/api/"
        arguments = {
            "slack_conn_id": "slack",
            "base_url": url,
            "channel": "#duty",
            "text": "{{ alert }} {{ event.epoch }}",
        }
        assert notify(pair({"notifier": SLACK, "arguments": arguments}), Alert.FAILOVER, EVENT, {}) == []
        (request,) = webtool.requests
        assert (request.json["channel"], request.json["text"]) == ("#duty", "failover 4")

    def test_apprise(self, webtool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        webtool.on("POST", "//alerts", {})
        config = {"path": f"json://127.0.0.1:{webtool.port}/alerts", "tag": "duty"}
        connection = {"conn_type": "apprise", "extra": {"config": config}}
        monkeypatch.setenv("AIRFLOW_CONN_APPRISE", json.dumps(connection))
        arguments = {"apprise_conn_id": "apprise", "tag": "duty", "title": "Denodo {{ event.pair }}"}
        assert notify(pair({"notifier": APPRISE, "arguments": arguments}), Alert.FAILOVER, EVENT, {}) == []
        (request,) = webtool.requests
        assert (request.json["title"], request.json["message"]) == ("Denodo sales", LINE)


class TestLinks:
    """Where a message leads to: the pair's page, and what to do."""

    BASE = "https://airflow.example.com/team/af"
    PAGE = f"{BASE}/dags/denodo_scheduler_failover__sales/plugin/denodo-pair"
    RUNBOOK = f"{BASE}/denodo-ha/docs/runbooks.html#master-dead"

    @pytest.fixture
    def known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", self.BASE)

    def test_are_in_the_default_text(self, slack: Any, known: None) -> None:
        sales = pair({"notifier": SLACK_WEBHOOK, "arguments": {"slack_webhook_conn_id": "slack"}})
        notify(sales, Alert.FAILOVER, EVENT, {})
        assert slack.requests[0].json["text"].split("\n") == [
            LINE,
            f"What to do: {self.RUNBOOK}",
            f"The pair: {self.PAGE}",
        ]

    def test_are_in_the_default_mail_but_not_in_its_subject(self, mailbox: Mailbox, known: None) -> None:
        sales = pair({"notifier": SMTP, "arguments": {"to": "duty@example.com", "smtp_conn_id": "mail"}})
        notify(sales, Alert.FAILOVER, EVENT, {})
        (mail,) = mailbox.mails
        assert " ".join(mail["Subject"].split()) == LINE
        body = mail.get_payload(0).get_payload(decode=True).decode()  # type: ignore[union-attr]
        assert f'<a href="{self.RUNBOOK}">' in body
        assert f'<a href="{self.PAGE}">' in body

    def test_are_there_for_texts_of_ones_own(self, slack: Any, known: None) -> None:
        arguments = {"slack_webhook_conn_id": "slack", "text": "{{ message }} {{ page }} {{ runbook }}"}
        blocked = {**EVENT, "kind": "problem", "code": "stale_snapshot"}
        notify(pair({"notifier": SLACK_WEBHOOK, "arguments": arguments}), Alert.STALE_SNAPSHOT, blocked, {})
        *_, page, runbook = slack.requests[0].json["text"].split(" ")
        assert (page, runbook) == (self.PAGE, f"{self.BASE}/denodo-ha/docs/reason-codes.html#code-stale_snapshot")

    def test_nothing_is_said_where_airflow_does_not_know_its_address(
        self, slack: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
        arguments = {"slack_webhook_conn_id": "slack"}
        notify(pair({"notifier": SLACK_WEBHOOK, "arguments": arguments}), Alert.FAILOVER, EVENT, {})
        assert slack.requests[0].json["text"] == LINE


class TestWhoIsTold:
    def test_only_notifiers_that_are_meant_for_the_alert(self, slack: Any) -> None:
        arguments = {"slack_webhook_conn_id": "slack", "text": "{{ alert }}"}
        sales = pair({"notifier": SLACK_WEBHOOK, "arguments": arguments, "alerts": ["halted", "drift"]})
        for alert in (Alert.FAILOVER, Alert.DRIFT, Alert.BLOCKED, Alert.HALTED):
            notify(sales, alert, EVENT, {})
        assert [request.json["text"] for request in slack.requests] == ["drift", "halted"]

    def test_all_of_them_by_default_and_each_time_anew(self, slack: Any) -> None:
        sales = pair(
            {"notifier": SLACK_WEBHOOK, "arguments": {"slack_webhook_conn_id": "slack", "text": "{{ alert }}"}}
        )
        for alert in Alert:
            notify(sales, alert, EVENT, {})
        assert [request.json["text"] for request in slack.requests] == list(Alert)

    def test_templates_see_the_context_of_airflow_and_leave_it_as_it_was(self, slack: Any) -> None:
        arguments = {"slack_webhook_conn_id": "slack", "text": "{{ run_id }}: {{ message }}"}
        context = {"run_id": "r1"}
        notify(pair({"notifier": SLACK_WEBHOOK, "arguments": arguments}), Alert.FAILOVER, EVENT, context)
        assert slack.requests[0].json["text"] == f"r1: {LINE}"
        assert context == {"run_id": "r1"}


class TestMessage:
    def test_speaks_for_itself(self) -> None:
        assert message(pair(), Alert.FAILOVER, EVENT) == LINE

    def test_the_decision_of_the_code_speaks_for_an_event_without_words(self) -> None:
        decision = DECISIONS["isolated"]
        line = message(pair(), Alert.BLOCKED, {"kind": "blocked", "code": "isolated"})
        assert line == f"[sales] blocked: {decision.what}. Next: {decision.next_step}."

    def test_an_event_without_words_is_told_by_its_sentence(self) -> None:
        event = {"kind": "failover", "enabled": 3, "rto_seconds": 13.5, "missed": {"occurrences": 0}}
        said = "3 jobs enabled on the slave 13.5 s after the master was last heard; no occurrence missed"
        assert message(pair(), Alert.FAILOVER, event) == f"[sales] failover: {said}."

    def test_a_damaged_event_is_told_too(self) -> None:
        line = "[sales] drift: jobs were enabled on the slave, which is to be passive, and were disabled."
        assert message(pair(), Alert.DRIFT, {"kind": "drift", "after": None, "code": [1]}) == line

    def test_is_one_line(self) -> None:
        event = {"kind": "halted", "what": "one\r\nSubject: two", "next_step": "look\n"}
        line = "[sales] halted: the pair is halted; one Subject: two. Next: look."
        assert message(pair(), Alert.HALTED, event) == line


class Silent(BaseNotifier):
    """Never ends before it is let go."""

    go = threading.Event()

    def notify(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        self.go.wait()


class Failing(BaseNotifier):
    def __init__(self, password: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.password = password

    def notify(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        raise RuntimeError(f"refused the login with {self.password}")


class AsyncOnly(BaseNotifier):
    async def async_notify(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        pass


NOT_A_NOTIFIER = Pair


class TestFailures:
    def test_one_that_fails_keeps_none_of_the_others_from_being_called(
        self, slack: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad = {"notifier": f"{HERE}Failing"}
        good = {"notifier": SLACK_WEBHOOK, "arguments": {"slack_webhook_conn_id": "slack"}}
        assert notify(pair(bad, good, bad), Alert.FAILOVER, EVENT, {}) == [f"{HERE}Failing"] * 2
        assert len(slack.requests) == 1
        assert "has not sent the alert failover: RuntimeError: refused the login" in caplog.text

    def test_one_that_hangs_is_waited_for_only_so_long(
        self, slack: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(notifications, "TIMEOUT", allow(1))
        hangs = {"notifier": f"{HERE}Silent"}
        good = {"notifier": SLACK_WEBHOOK, "arguments": {"slack_webhook_conn_id": "slack"}}
        assert notify(pair(hangs, hangs, good), Alert.FAILOVER, EVENT, {}) == [f"{HERE}Silent"] * 2
        assert "it did not end within" in caplog.text
        assert len(slack.requests) == 1
        Silent.go.set()

    def test_a_receiver_that_refuses(self, slack: Any, answer: Callable[..., Any]) -> None:
        slack.on("POST", f"//services/{TOKEN}", answer({"error": "no"}, 500))
        arguments = {"slack_webhook_conn_id": "slack"}
        assert notify(pair({"notifier": SLACK_WEBHOOK, "arguments": arguments}), Alert.FAILOVER, EVENT, {}) == [
            SLACK_WEBHOOK
        ]

    def test_a_template_with_a_mistake(self, slack: Any, caplog: pytest.LogCaptureFixture) -> None:
        arguments = {"slack_webhook_conn_id": "slack", "text": "{{ message"}
        assert notify(pair({"notifier": SLACK_WEBHOOK, "arguments": arguments}), Alert.FAILOVER, EVENT, {})
        assert "TemplateSyntaxError" in caplog.text

    def test_a_missing_connection(self, caplog: pytest.LogCaptureFixture) -> None:
        arguments = {"to": "duty@example.com", "smtp_conn_id": "nowhere"}
        assert notify(pair({"notifier": SMTP, "arguments": arguments}), Alert.FAILOVER, EVENT, {}) == [SMTP]
        assert "SMTP connection is not found" in caplog.text

    def test_secrets_are_masked_in_what_airflow_logs(self, slack: Any, caplog: pytest.LogCaptureFixture) -> None:
        """By the connection's password, and by the name of an argument in the file of pairs."""
        caplog.set_level(logging.DEBUG)
        secret = "the-notifiers-own-passphrase"
        bad = {"notifier": f"{HERE}Failing", "arguments": {"password": secret}}
        notify(pair(bad), Alert.FAILOVER, EVENT, {})
        assert secret in caplog.text
        assert secret not in redact(caplog.text)
        slack.answers.clear()  # 404
        notify(
            pair({"notifier": SLACK_WEBHOOK, "arguments": {"slack_webhook_conn_id": "slack"}}), Alert.DRIFT, EVENT, {}
        )
        assert TOKEN not in redact(caplog.text)


class TestParsing:
    """What a mistake in the file of pairs looks like when the DAG is parsed."""

    def test_a_good_one(self) -> None:
        (found,) = notifiers(pair({"notifier": SMTP, "arguments": {"to": "duty@example.com"}}))
        assert type(found).__name__ == "SmtpNotifier"

    def test_none(self) -> None:
        assert notifiers(pair()) == []

    @pytest.mark.parametrize(
        ("notifier", "arguments", "problem"),
        [
            ("airflow.providers.smtp.nowhere.SmtpNotifier", {}, "cannot be imported"),
            ("no_such_package.Notifier", {}, "cannot be imported"),
            (f"{SMTP}s", {}, "cannot be imported"),
            (f"{HERE}NOT_A_NOTIFIER", {}, "is not a notifier"),
            (f"{HERE}HERE", {}, "is not a notifier"),
            (f"{HERE}AsyncOnly", {}, "has no method notify"),
            (SMTP, {}, "its arguments are: to, from_email"),
            (SMTP, {"to": "a@b", "tos": "x"}, "unexpected keyword argument 'tos'"),
            (SMTP, {"to": "a@b", "template": "/no/such/file"}, "No such file"),
        ],
    )
    def test_a_bad_one_is_named_with_its_pair(self, notifier: str, arguments: dict[str, Any], problem: str) -> None:
        with pytest.raises(ValueError, match='pair "sales"') as caught:
            notifiers(pair({"notifier": notifier, "arguments": arguments}))
        assert notifier in str(caught.value)
        assert problem in str(caught.value)
