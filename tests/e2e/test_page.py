"""The page of pairs in Chromium and a real Airflow: inside its interface, with and without rights, and logged out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from denodo_demo.airflow import LocalAirflow
from denodo_demo.camera import PAGE, pair_in_airflow
from denodo_demo.slowness import allow
from support.browser import Page, chromium, serious, shoot
from support.logins import token
from support.sync_dag import History

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def opened(browser: Any, airflow: LocalAirflow, user: str, **how: Any) -> Page:
    """A browser window in which that user is logged in; nobody, where there is no name."""
    seen = Page(browser, airflow.url, **how)
    seen.page.set_default_timeout(allow(30) * 1000)
    if user:
        seen.context.add_cookies([{"name": "_token", "value": token(airflow, user), "url": airflow.url}])
    return seen


def in_airflow(page: Any) -> Any:
    """The page of pairs in the frame in which Airflow's interface shows it."""
    return page.wait_for_selector("iframe").content_frame()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_in_airflows_interface(browser: Any, airflow: LocalAirflow, history: History, width: int, dark: bool) -> None:
    assert history.first.run_id
    seen = opened(browser, airflow, airflow.user, width=width, dark=dark)
    seen.page.add_init_script(f"localStorage.setItem('theme', '{'dark' if dark else 'light'}')")
    seen.page.goto(f"{airflow.url}{pair_in_airflow('default')}")
    frame = in_airflow(seen.page)
    frame.get_by_text("is the active server").first.wait_for()
    shoot(seen.page, f"in Airflow, {width}{', dark' if dark else ''}", whole=False)
    frame.get_by_role("link", name="Jobs", exact=True).click()
    frame.get_by_role("grid").wait_for()
    ours = [each for each in seen.wrong if "denodo-ha" in each or "Content Security Policy" in each]
    seen.close()
    assert ours == []


def test_by_itself_it_keeps_to_its_policy_and_to_this_host(
    browser: Any, airflow: LocalAirflow, history: History
) -> None:
    assert history.first.run_id
    seen = opened(browser, airflow, airflow.user)
    answer = seen.page.goto(f"{airflow.url}{PAGE}#/pair/default")
    seen.page.get_by_text("is the active server").first.wait_for()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert serious(seen.page) == []
    hosts = {
        urlsplit(each).netloc
        for each in seen.page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    }
    assert hosts == {urlsplit(airflow.url).netloc}
    assert seen.wrong == []
    seen.close()


def test_a_viewer_sees_the_pair_and_can_start_nothing(browser: Any, airflow: LocalAirflow, history: History) -> None:
    runs = {dag_id: len(airflow.api.dag_runs(dag_id)) for dag_id in (history.dag.dag_id,)}
    seen = opened(browser, airflow, "viewer")
    seen.page.goto(f"{airflow.url}{PAGE}#/pair/default")
    seen.page.get_by_text("is the active server").first.wait_for()
    offers = seen.page.get_by_role("button", name="…")
    assert [each.text_content() for each in offers.all() if each.is_enabled()] == []
    assert "right to trigger" in seen.page.inner_text("body") or "may not" in seen.page.inner_text("body")
    asked = seen.page.evaluate(
        """async ([url]) => (await fetch(url, {method: "POST", headers: {"Content-Type": "application/json"},
        body: JSON.stringify({logical_date: null, conf: {}})})).status""",
        [f"{airflow.url}/api/v2/dags/{history.dag.dag_id}/dagRuns"],
    )
    assert asked == 403
    assert {dag_id: len(airflow.api.dag_runs(dag_id)) for dag_id in runs} == runs
    seen.close()


def test_without_a_login(browser: Any, airflow: LocalAirflow) -> None:
    seen = opened(browser, airflow, "")
    for path in (PAGE, "/denodo-ha/api/pairs", "/denodo-ha/api/pairs/default", "/denodo-ha/docs/on-duty.html"):
        answer = seen.page.goto(f"{airflow.url}{path}")
        assert answer.status == 401, path
    seen.page.goto(f"{airflow.url}{pair_in_airflow('default')}")
    seen.page.locator("input[name=username]").wait_for()
    seen.close()


def test_the_pages_form_starts_one_run_by_the_persons_login(
    browser: Any, airflow: LocalAirflow, history: History
) -> None:
    """Of a pair that nothing else of these tests switches over; the answer to the first request is lost."""
    assert history.first.run_id
    dag_id = "denodo_scheduler_switchover__backfilled"
    seen = opened(browser, airflow, airflow.user)
    page = seen.page
    page.goto(f"{airflow.url}{PAGE}#/pair/default")
    page.get_by_text("is the active server").first.wait_for()
    sent: list[Any] = []

    def lose_the_first_answer(route: Any) -> None:
        sent.append(route.request.post_data_json)
        answer = route.fetch()
        assert answer.status == (200 if len(sent) == 1 else 409), answer.text()
        if len(sent) == 1:
            route.abort()
        else:
            route.fulfill(response=answer)

    page.route("**/dagRuns", lose_the_first_answer)
    page.evaluate(
        """async (dag) => (await import("./form.js")).openForm({id: "dry", title: "Dry run", what: "changes nothing",
        dag_id: dag, url: `dags/${dag}`, conf: {direction: "to_slave", dry_run: true}, needs: ["reason"],
        moves: false}, "backfilled")""",
        dag_id,
    )
    page.fill("#field-reason", "a try")
    assert page.input_value("#field-direction") == "to_slave"
    page.click("dialog .go")
    page.get_by_text("It is not known whether the run was started").wait_for()
    page.click("dialog .go")
    page.locator("dialog [role=status]").wait_for()
    assert page.inner_text("dialog [role=status]").startswith("Started.")
    [run] = airflow.api.dag_runs(dag_id)
    assert run["dag_run_id"] == sent[0]["dag_run_id"] == sent[1]["dag_run_id"]
    assert {"direction": "to_slave", "dry_run": True, "reason": "a try"}.items() <= run["conf"].items()
    airflow.api.set_run_state(dag_id, run["dag_run_id"], "failed")
    seen.close()
