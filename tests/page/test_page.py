"""The page in Chromium: lists, tabs, what it does while the API server is away, and what it must never do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from denodo_demo.processes import wait_for
from support.browser import STATIC, Page, PageServer, serious, shoot
from support.page_states import OPERATIONS, STATES, answers, events, failed_over, jobs, normal, row

HOSTILE = ["<script>window.harmed=1</script><img src=x onerror='window.harmed=1'>", "x" * 300, "\u202eevil\u202c עברית"]


class Opened:
    """Pages of one test, which are all closed and looked at for errors at its end."""

    def __init__(self, browser: Any, server: PageServer) -> None:
        self.browser, self.server = browser, server
        self.seen: list[Page] = []
        self.allowed = r"^$"

    def __call__(self, place: str = "", **options: Any) -> Any:
        seen = Page(self.browser, self.server.url, **options)
        self.seen.append(seen)
        seen.page.goto(place if place.startswith("http") else self.server.page + place)
        return seen.page

    @property
    def wrong(self) -> list[str]:
        return [text for seen in self.seen for text in seen.wrong if not re.search(self.allowed, text)]


@pytest.fixture
def opened(browser: Any, server: PageServer) -> Iterator[Opened]:
    server.answers = answers(normal())
    pages = Opened(browser, server)
    yield pages
    for seen in pages.seen:
        seen.close()
    assert pages.wrong == []


def until(page: Any, condition: Callable[[], bool], what: str) -> None:
    """Wait for the condition, while the clock of the page goes on by a second each time."""

    def met() -> bool:
        page.clock.fast_forward(1000)
        return condition()

    wait_for(met, 60, what)


def shown(page: Any, selector: str) -> Callable[[], bool]:
    return lambda: page.locator(selector).count() > 0


def test_a_hundred_pairs_are_one_row_each_in_the_servers_order(opened: Opened, server: PageServer) -> None:
    rows = [row(f"pair_{n:03}") for n in range(100)]
    rows[0] |= {"level": "CRITICAL", "what": "the master is down", "next_step": "wait", "verdict": "down"}
    rows[1] |= {"level": "UNKNOWN", "active": None, "enabled": {"master": None, "slave": None}, "snapshot": None}
    rows[2] |= {"level": "WARNING", "pending": 3, "doubts": 1, "paused": True, "last_event": None}
    server.answers["pairs"] = {
        "at": normal()["at"],
        "pairs": rows,
        "import_error": "pairs.yaml, line 3: no such option",
    }
    for width, dark in ((1280, True), (390, False)):
        page = opened(width=width, dark=dark)
        page.wait_for_selector("tbody tr")
        names = page.eval_on_selector_all("tbody th a", "all => all.map(each => each.textContent)")
        assert names == [each["pair"] for each in rows]
        assert "line 3: no such option" in page.text_content("main")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shoot(page, f"list-{width}-{'dark' if dark else 'light'}")
        page.fill("#filter", "1")
        assert serious(page) == []
        page.fill("#filter", "critical")
        assert page.locator("tbody tr").count() == 1
    page.fill("#filter", "no such pair")
    assert "No pair matches the filter." in page.text_content("main")


def test_a_row_leads_to_its_pair_and_back(opened: Opened) -> None:
    page = opened()
    page.click("tbody th a")
    page.wait_for_selector(".lead")
    assert page.text_content("h1") == "Pair emea"
    page.click(".tabs a >> text=Jobs")
    page.wait_for_selector("tr[data-index]")
    page.go_back()
    page.wait_for_selector(".drawing")
    page.click("text=All pairs")
    page.wait_for_selector("table.pairs")


@pytest.mark.parametrize("kind", ["failover", "sync", "switchover", "operations", "drill"])
def test_each_dag_of_a_pair_shows_the_pair(opened: Opened, kind: str) -> None:
    page = opened(f"?dag_id=denodo_scheduler_{kind}__emea")
    page.wait_for_selector(".lead")


def test_a_dag_of_others_says_that_it_has_no_pair(opened: Opened, server: PageServer) -> None:
    page = opened("?dag_id=example__emea")
    assert "does not belong to a pair" in page.text_content("main")
    assert server.asked == []


def test_the_picture_says_in_words_what_it_shows(opened: Opened, server: PageServer) -> None:
    server.answers = answers(failed_over())
    page = opened("#/pair/emea")
    page.wait_for_selector("svg.drawing desc", state="attached")
    said = page.text_content("svg.drawing desc")
    assert "The slave is active, the master passive." in said
    assert "Airflow to the master's web tool: silent, 12 s ago." in re.sub(r"\d+ s ago", "12 s ago", said)
    assert "The sync goes from the slave to the master: no sync yet, 0 jobs pending." in said
    signs = page.eval_on_selector_all("svg.drawing .path-name", "all => all.map(each => each.textContent)")
    assert signs == ["1 ✕ silent", "3 ✓ alive", "2 ✕ silent", "sync: no sync yet"]


def test_buttons_lead_to_the_forms_and_the_others_say_why_not(opened: Opened, server: PageServer) -> None:
    page = opened("#/pair/emea")
    page.wait_for_selector(".actions")
    for action in normal()["actions"]:
        button = page.locator(f".actions [aria-describedby='what-{action['id']}']")
        told = page.text_content(f"#what-{action['id']}")
        assert action["what"][1:] in told
        assert action["why_not"] in told
        assert button.is_disabled() is bool(action["why_not"])
        assert (button.get_attribute("href") or "").endswith("required_actions") is (action["id"] == "approve")


def test_a_form_is_filled_in_and_starts_the_dag(opened: Opened, server: PageServer) -> None:
    dag = "dags/denodo_scheduler_operations__emea"
    server.airflow[f"GET {dag}/details"] = (200, OPERATIONS)
    server.airflow[f"POST {dag}/dagRuns"] = (400, {"detail": "Invalid input for param reason"})
    opened.allowed = "400"
    page = opened("#/pair/emea")
    page.click("[aria-describedby='what-pause']")
    page.wait_for_selector("#field-reason")
    assert page.input_value("#field-operation") == "pause"
    assert serious(page) == []
    shoot(page, "form-1280-light", whole=False)
    page.click("dialog .go")  # without the reason that is needed
    assert server.posted == []
    page.fill("#field-reason", "maintenance")
    page.click("dialog .go")
    page.wait_for_selector("dialog .error >> text=Invalid input for param reason")
    server.airflow[f"POST {dag}/dagRuns"] = (200, {"dag_run_id": "as asked"})
    page.click("dialog .go")
    page.wait_for_selector("dialog >> text=Started.")
    run = server.posted[0]["dag_run_id"]
    assert re.fullmatch(r"manual__[0-9T:+-]+__page_[0-9a-f]{8}", run)
    assert page.get_attribute("dialog a.button", "href") == f"{server.url}/{dag}/runs/{quote(run, safe='')}"
    conf = {
        "operation": "pause",
        "reason": "maintenance",
        "until": None,
        "active": None,
        "quiet_window": 120,
        "doubts": [],
        "probe": False,
    }
    assert server.posted == [{"dag_run_id": run, "logical_date": None, "conf": conf}] * 2
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    assert page.evaluate("document.activeElement.dataset.focus") == "what-pause"


def test_a_form_of_a_paused_dag_or_without_rights_says_so(opened: Opened, server: PageServer) -> None:
    dag = "dags/denodo_scheduler_operations__emea"
    server.airflow[f"GET {dag}/details"] = (200, OPERATIONS | {"is_paused": True})
    server.airflow[f"POST {dag}/dagRuns"] = (403, {"detail": "Forbidden"})
    opened.allowed = "403"
    page = opened("#/pair/emea")
    page.click("[aria-describedby='what-pause']")
    page.wait_for_selector("dialog >> text=is paused in Airflow")
    page.fill("#field-reason", "maintenance")
    page.click("dialog .go")
    page.wait_for_selector("dialog >> text=Airflow does not let you do this.")
    assert page.locator("dialog .go").is_enabled()


def form_of(opened: Opened, server: PageServer, action: dict[str, Any]) -> Any:
    """Open the form of an action of the operations DAG on the page of a pair."""
    dag = f"dags/{action['dag_id']}"
    server.airflow.setdefault(f"GET {dag}/details", (200, OPERATIONS))
    server.airflow.setdefault(f"POST {dag}/dagRuns", (200, {"dag_run_id": "as asked"}))
    state = normal()
    state["actions"] = [action]
    server.answers = answers(state)
    page = opened("#/pair/emea")
    page.click(f"[aria-describedby='what-{action['id']}']")
    return page


def operation(name: str, **conf: Any) -> dict[str, Any]:
    found = next(each for each in normal()["actions"] if each["id"] == "pause")
    return {**found, "id": name, "title": name, "conf": {"operation": name, **conf}}


def test_a_lost_answer_starts_no_second_run(opened: Opened, server: PageServer) -> None:
    opened.allowed = "502|409"
    action = operation("pause")
    post = f"POST dags/{action['dag_id']}/dagRuns"
    server.airflow[post] = (502, {})
    page = form_of(opened, server, action)
    page.fill("#field-reason", "maintenance")
    page.click("dialog .go")
    page.wait_for_selector("dialog >> text=It is not known whether the run was started.")
    server.airflow[post] = (409, {"detail": {"reason": "Unique constraint violation"}})
    page.click("dialog .go")
    page.wait_for_selector("dialog >> text=Started.")
    assert len({each["dag_run_id"] for each in server.posted}) == 1


def test_what_moves_production_is_asked_once_more(opened: Opened, server: PageServer) -> None:
    page = form_of(opened, server, {**operation("halt"), "moves": True})
    page.fill("#field-reason", "something is odd")
    page.click("dialog .go")
    assert server.posted == []
    assert "for the pair emea: halt" in page.text_content(".consent")
    page.check("#field-consent")
    assert serious(page) == []
    page.dblclick("dialog .go")
    page.wait_for_selector("dialog >> text=Started.")
    assert len(server.posted) == 1


def test_a_form_asks_for_what_is_needed_and_reads_each_kind_of_field(opened: Opened, server: PageServer) -> None:
    action = operation("initialise", doubts=["a"]) | {"needs": ["active", "reason"]}
    page = form_of(opened, server, action)
    page.wait_for_selector("#field-active")
    assert page.locator("details #field-active").count() == 0
    assert page.is_disabled("#field-operation")  # the form does what its title says
    page.fill("#field-reason", "  ")
    page.select_option("#field-active", "slave")
    page.click("dialog .go")  # blanks are no reason
    page.fill("#field-reason", " moved ")
    page.select_option("#field-active", "")
    page.click("dialog .go")  # neither is 'none' a server
    page.select_option("#field-active", "slave")
    page.click("dialog summary")
    page.fill("#field-quiet_window", "")
    page.click("dialog summary")
    page.click("dialog .go")
    assert page.is_visible("#field-quiet_window")  # what is wrong is unfolded
    assert server.posted == []
    page.fill("#field-quiet_window", "60")
    page.fill("#field-until", "2026-03-02T06:00")
    page.fill("#field-doubts", "b\n\n c ")
    page.click("dialog .go")
    page.wait_for_selector("dialog >> text=Started.")
    assert server.posted[0]["conf"] == {
        "operation": "initialise",
        "reason": "moved",
        "until": "2026-03-02T05:00:00.000Z",
        "active": "slave",
        "quiet_window": 60,
        "doubts": ["b", "c"],
        "probe": False,
    }


@pytest.mark.parametrize(
    ("status", "said", "shown_"),
    [
        (200, None, "something else than Airflow answers"),
        (200, {}, "something else than Airflow answers"),
        (404, {"detail": "The Dag was not found"}, "The Dag was not found."),
        (401, {}, "You are logged out of Airflow"),
    ],
)
def test_without_the_dags_form_nothing_can_be_started(
    opened: Opened, server: PageServer, status: int, said: Any, shown_: str
) -> None:
    opened.allowed = str(status)
    action = operation("pause")
    server.airflow[f"GET dags/{action['dag_id']}/details"] = (status, said)
    page = form_of(opened, server, action)
    page.wait_for_selector(f"dialog .error >> text={shown_}")
    assert page.is_disabled("dialog .go")


def test_what_airflow_says_against_a_field_is_told_in_words(opened: Opened, server: PageServer) -> None:
    opened.allowed = "422"
    action = operation("pause")
    detail = [{"loc": ["body", "conf"], "msg": "Input should be a valid dictionary", "type": "dict_type"}]
    server.airflow[f"POST dags/{action['dag_id']}/dagRuns"] = (422, {"detail": detail})
    page = form_of(opened, server, action)
    page.fill("#field-reason", "maintenance")
    page.click("dialog .go")
    page.wait_for_selector("dialog .error >> text=Conf: Input should be a valid dictionary.")


def test_what_is_unfolded_stays_so_while_the_view_is_updated(opened: Opened, server: PageServer) -> None:
    page = opened("#/pair/emea", clock=True)
    page.click(".group.sync summary")
    state = normal()
    state["actions"][0]["what"] = "does something else"
    server.answers = answers(state)
    until(page, shown(page, "#what-look >> text=Does something else."), "the new state")
    assert page.get_attribute(".group.sync details", "open") is not None
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_what_is_wrong_with_the_kept_jobs_stays_said(opened: Opened, server: PageServer) -> None:
    server.answers["pairs/emea/jobs"] = {**jobs(3), "problem": "the list is damaged"}
    page = opened("#/pair/emea/jobs", clock=True)
    page.wait_for_selector(".instead >> text=The list is damaged.")
    until(page, lambda: server.asked.count("pairs/emea/jobs") > 1, "another request")
    until(page, lambda: server.asked.count("pairs/emea/jobs") > 2, "an answer to the one before")
    assert "The list is damaged." in page.text_content("main")


def test_without_permission_no_button_can_be_pressed(opened: Opened, server: PageServer) -> None:
    state = normal()
    for action in state["actions"]:
        action |= {"allowed": False, "why_not": f"you may not run {action['dag_id']}"}
    server.answers = answers(state)
    page = opened("#/pair/emea")
    page.wait_for_selector(".groups")
    assert page.locator(".actions button:enabled, .actions a").count() == 0
    assert page.text_content("main").count("Not now: you may not run") == len(state["actions"])
    assert "you may not trigger its DAGs" in page.inner_text("main")


def test_what_helps_now_comes_first(opened: Opened, server: PageServer) -> None:
    server.answers = answers(failed_over())
    page = opened("#/pair/emea")
    page.wait_for_selector(".actions")
    assert page.text_content(".group h3") == "Suggested now"
    assert page.locator(".suggested button").all_text_contents() == ["Check readiness …", "Sync …"]


def test_no_link_leads_to_another_host_or_runs_code(opened: Opened, server: PageServer) -> None:
    state = normal()
    for action, url in zip(
        state["actions"],
        ["javascript:window.harmed=1", "https://evil.example/x", "//evil.example/x", "/\\evil.example", "\thttps:evil"],
        strict=False,
    ):
        action["url"] = url
    state["links"]["runbook"] = "javascript:window.harmed=1"
    server.answers = answers(state)
    page = opened("#/pair/emea")
    page.wait_for_selector(".actions")
    links = page.eval_on_selector_all("a", "all => all.map(each => each.href)")
    assert [link for link in links if not link.startswith(server.url + "/")] == []


def test_framed_by_airflow_links_leave_the_frame_and_the_theme_follows(opened: Opened, server: PageServer) -> None:
    page = opened(f"{server.url}/frame?theme=dark&query=dag_id%3Ddenodo_scheduler_failover__emea")
    frame = page.frame_locator("iframe")
    frame.locator(".lead").wait_for()
    dark = "document.querySelector('iframe').contentDocument.documentElement.classList.contains('dark')"
    assert page.evaluate(dark)
    page.evaluate("document.documentElement.className = 'light'")
    page.wait_for_function(f"!{dark}")
    with page.context.expect_page() as opens:
        frame.locator(".dags a >> text=Documentation").click()
    opens.value.wait_for_load_state()
    assert opens.value.url == f"{server.url}/denodo-ha/docs/on-duty.html"
    opened.allowed = "404|escape its sandboxing"
    with page.expect_navigation():
        frame.locator(".dags a >> text=Sync emea").click()
    assert page.url == f"{server.url}/dags/denodo_scheduler_sync__emea"


def test_airflow_may_be_served_below_a_path(browser: Any) -> None:
    server = PageServer(base="/team/af")
    server.answers = answers(normal())
    server.start()
    seen = Page(browser, server.url)
    seen.page.goto(f"{server.page}#/pair/emea")
    seen.page.wait_for_selector(".actions")
    assert seen.page.locator(".actions a").first.get_attribute("href").startswith(f"{server.url}/dags/")
    assert seen.wrong == []
    seen.close()
    server.stop()


def test_it_updates_without_a_reload_and_tells_a_change_of_the_level(opened: Opened, server: PageServer) -> None:
    page = opened("#/pair/emea", clock=True)
    page.wait_for_selector(".lead")
    page.evaluate("window.same = true")
    page.focus(".actions button")
    before = page.evaluate("document.activeElement.textContent")
    assert page.text_content("#announcer") == ""
    server.answers = answers(failed_over())
    until(page, shown(page, ".headline.warning"), "the new state")
    assert "The slave is the active server" in page.text_content(".lead")
    assert (
        page.text_content("#announcer")
        == "The pair is warning now: the slave is the active server, and jobs are enabled on it"
    )
    assert page.evaluate("window.same")
    assert page.evaluate("document.activeElement.textContent") == before


def test_what_has_not_changed_is_not_sent_again(opened: Opened, server: PageServer) -> None:
    page = opened("#/pair/emea", clock=True)
    page.wait_for_selector(".lead")
    until(page, lambda: server.asked.count("pairs/emea") > 1, "another request")
    sent = server.sent
    more = server.asked.count("pairs/emea")
    until(page, lambda: server.asked.count("pairs/emea") > more, "another request")
    assert server.sent == sent


def test_it_says_that_it_is_out_of_date_and_goes_on_when_the_server_is_back(opened: Opened, server: PageServer) -> None:
    opened.allowed = "ERR_CONNECTION|ERR_EMPTY_RESPONSE|500"
    page = opened("#/pair/emea", clock=True)
    page.wait_for_selector(".lead")
    server.stop()
    until(page, shown(page, ".stale"), "the page to be out of date")
    assert re.match(
        r"Out of date since \d\d:\d\d \(.*\): the API server cannot be reached\.", page.text_content(".stale")
    )
    assert page.locator(".lead").is_visible()
    shoot(page, "out-of-date-1280-light")
    server.status = 500
    server.start()
    until(page, shown(page, ".stale >> text=answers with an error (500)"), "the error")
    server.status = None
    until(page, lambda: not shown(page, ".stale")(), "the page to be up to date")
    assert page.text_content("#announcer") == "The page is up to date again"


def test_logged_out_it_leads_to_the_login_and_back(opened: Opened, server: PageServer) -> None:
    opened.allowed = "401"
    server.status = 401
    page = opened("#/pair/emea", clock=True)
    page.wait_for_selector(".stale")
    assert "Nothing can be shown: you are logged out of Airflow." in page.text_content(".stale")
    link = page.locator(".stale a").get_attribute("href")
    assert link.startswith(f"{server.url}/api/v2/auth/login?next=http%3A%2F%2F127.0.0.1")
    shoot(page, "logged-out-1280-light")
    server.status = None
    until(page, shown(page, ".lead"), "the pair")


def test_an_unknown_pair_is_told(opened: Opened) -> None:
    opened.allowed = "404"
    page = opened("#/pair/nowhere")
    page.wait_for_selector(".stale >> text=does not know this, or does not let you see it")


def test_names_chosen_by_others_do_no_harm(opened: Opened, server: PageServer) -> None:
    state = failed_over()
    evil, long, reversed_ = HOSTILE
    state["what"] = state["because"] = state["story"]["now"] = evil
    state["findings"] = [{"level": "CRITICAL", "text": each, "next_step": each, "code": ""} for each in HOSTILE]
    state["sync"] |= {
        "pending": [{"job": each, "why": each, "next_step": each} for each in HOSTILE],
        "pending_count": 3,
    }
    state["doubts"] = [{"name": each, "why": each, "role": "master"} for each in HOSTILE]
    state["servers"]["master"] |= {"connection": long, "address": reversed_}
    state["servers"]["slave"] |= {"connection": evil, "address": long}
    state["actions"][0] |= {"title": evil, "what": long}
    server.answers = answers(state)
    listed = jobs(30)
    for line, text in zip(listed["rows"], HOSTILE, strict=False):
        line[0] = line[1] = line[7] = text
    server.answers["pairs/emea/jobs"] = listed
    past = events(3)
    for event, text in zip(past["events"], HOSTILE, strict=True):
        event |= {"text": text, "who": text, "why": text}
    server.answers["pairs/emea/events"] = past
    server.answers["pairs/emea/events/3"] = {
        "text": evil,
        "facts": [[evil, long]],
        "runbook": None,
        "event": {evil: long},
    }
    server.answers["pairs"] = {
        "at": state["at"],
        "pairs": [row(each, what=each) for each in HOSTILE],
        "import_error": evil,
    }
    for width in (1280, 390):
        for place, wait in [
            ("", "tbody tr"),
            ("#/pair/emea", ".last li"),
            ("#/pair/emea/jobs", "tr[data-index]"),
            ("#/pair/emea/timeline", ".event"),
        ]:
            page = opened(place, width=width)
            page.wait_for_selector(wait)
            if "jobs" in place:
                page.click("tr[data-index='0']")
                assert evil in page.text_content(".chosen")
            if "timeline" in place:
                page.click(".event summary")
                page.wait_for_selector(".unfolded pre", state="attached")
            assert evil in page.text_content("body")
            assert not page.evaluate("window.harmed")
            assert page.locator("img, body script").count() == 0
            assert page.evaluate("document.documentElement.scrollWidth") <= width, place
            shoot(page, f"hostile-{width}-{place.rpartition('/')[2] or 'list'}", whole=False)


def test_a_large_pair_is_shown_by_few_small_answers(opened: Opened, server: PageServer) -> None:
    """The first view asks for neither jobs nor all events, and only those in sight are in the document."""
    server.answers = answers(normal(), jobs_=5000, events_=2000)
    limited = server.answers["pairs/emea/events"]
    server.answers["pairs/emea/events"] = lambda query: {
        **limited,
        "events": limited["events"][: int(query["limit"][0])],
    }
    page = opened("#/pair/emea")
    page.wait_for_selector(".last li")
    assert len(server.asked) <= 3
    assert server.sent <= 200_000
    page.click(".tabs a >> text=Jobs")
    page.wait_for_selector("tr[data-index]")
    assert page.get_attribute("table.jobs", "aria-rowcount") == "5001"
    assert page.locator("tr[data-index]").count() < 100
    page.click(".tabs a >> text=Timeline")
    page.wait_for_selector(".event")
    assert page.locator(".event").count() <= 200
    assert "2000 events" in page.text_content("#kind") + page.text_content(".total")
    assert server.sent <= 1_500_000


def test_thousands_of_jobs_are_moved_through_with_the_keyboard(opened: Opened, server: PageServer) -> None:
    server.answers = answers(normal(), jobs_=5000)
    page = opened("#/pair/emea/jobs")
    page.wait_for_selector("tr[data-index]")
    page.focus("tr[tabindex='0']")
    index = "Number(document.activeElement.dataset.index)"
    for key, place in [("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 4999), ("Home", 0)]:
        page.keyboard.press(key)
        assert page.evaluate(index) == place
        assert page.evaluate("document.activeElement.getAttribute('aria-rowindex')") == str(place + 2)
        assert f"load_{place:05}" in page.text_content(".chosen")
    page.keyboard.press("PageDown")
    assert 3 < page.evaluate(index) < 100
    page.mouse.wheel(0, 0)
    page.evaluate("document.querySelector('.grid').scrollTop = 80000")
    page.wait_for_selector("tr[data-index='2360']")
    page.fill("#job", "load_00123")
    assert page.locator("tr[data-index]").count() == 1
    page.fill("#job", "")
    page.click(".filters button >> text=missing")
    assert page.text_content(".total") == "125 of 5000 jobs"
    assert page.get_attribute("table.jobs", "aria-rowcount") == "126"
    assert set(page.eval_on_selector_all("td.c-state", "all => all.map(each => each.textContent)")) == {"✕ missing"}


def test_an_event_unfolds_and_new_ones_come_by_themselves(opened: Opened, server: PageServer) -> None:
    page = opened("#/pair/emea/timeline", clock=True)
    page.wait_for_selector(".event")
    page.select_option("#kind", "failover")
    assert set(page.eval_on_selector_all(".event .head strong", "all => all.map(each => each.textContent)")) == {
        "failover"
    }
    page.click(".event summary")
    page.wait_for_selector(".unfolded dt")
    assert page.eval_on_selector_all(".unfolded dt", "all => all.map(each => each.textContent)") == [
        "RPO",
        "RTO",
        "Fencing",
        "Missed",
    ]
    shoot(page, "timeline-1280-light")
    page.select_option("#kind", "")
    newer = events(41)["events"][:1]
    newer[0]["text"] = "something new"
    server.answers["pairs/emea/events"] = lambda query: {
        "events": newer if query["after"] == ["40"] else [],
        "more": False,
    }
    server.answers["pairs/emea"] = {**server.answers["pairs/emea"], "last_event": newer[0]}
    page.click(".event summary")
    until(page, shown(page, ".event >> text=something new"), "the new event")
    assert page.locator(".event").count() == 41
    assert page.locator(".event details[open]").count() == 2
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


@pytest.mark.parametrize(("width", "dark"), [(1280, True), (390, False)])
@pytest.mark.parametrize("tab", ["timeline", "jobs", "quiet"])
def test_each_tab_is_usable_wide_and_narrow(opened: Opened, tab: str, width: int, dark: bool) -> None:
    page = opened(f"#/pair/emea/{tab}", width=width, dark=dark)
    page.wait_for_selector({"timeline": ".event", "jobs": "tr[data-index]", "quiet": ".hour"}[tab])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(page) == []
    shoot(page, f"tab-{tab}-{width}-{'dark' if dark else 'light'}")


def test_quiet_moments_are_in_the_persons_time_zone_with_utc_beside(opened: Opened) -> None:
    page = opened("#/pair/emea/quiet")
    page.wait_for_selector(".hour")
    said = page.text_content("main")
    assert "Europe/Berlin" in said
    assert "The crons are those of Europe/Madrid." in said
    hours = page.eval_on_selector_all(".day tbody th", "all => all.map(each => each.textContent)")
    assert len(hours) in (24, 25)
    assert all(re.fullmatch(r"\d\d:\d\d \d\d:\d\d UTC", hour) for hour in hours)
    assert page.locator("section[aria-label='Next quiet moments'] li").count() == 12


@pytest.mark.parametrize("tab", ["now", "timeline", "jobs", "quiet"])
def test_everything_can_be_reached_with_the_keyboard_alone(opened: Opened, tab: str) -> None:
    page = opened(f"#/pair/emea/{tab}")
    page.wait_for_selector({"now": ".actions", "timeline": ".event", "jobs": "tr[data-index]", "quiet": ".hour"}[tab])
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent"))
    wanted = page.eval_on_selector_all(
        "a:not(.skip), button:not(:disabled):not([hidden]), tr[tabindex='0']",
        "all => all.slice(0, 30).map(each => each.textContent)",
    )
    assert [each for each in wanted if each not in reached] == []


def test_no_file_of_the_page_makes_markup_of_text_or_names_another_host() -> None:
    for file in STATIC.iterdir():
        text = file.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            file
        )
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"']+", text) == [], file
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", page)
    preloaded = set(re.findall(r'modulepreload" href="([^"]+)"', page))
    assert preloaded == {file.name for file in STATIC.glob("*.js")} - {"main.js", "tile.js"}


def test_the_states_are_all_those_that_an_operator_has_to_tell_apart() -> None:
    assert len(STATES) >= 10
