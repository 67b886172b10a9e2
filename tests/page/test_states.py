"""What an operator sees of a pair in each situation, wide and narrow, light and dark."""

from __future__ import annotations

from typing import Any

import pytest

from support.browser import Page, PageServer, serious, shoot
from support.page_states import STATES, answers

SIZES = [(1280, False), (390, True)]
LEADS = {
    "normal": "The master is the active server, for 21 d. It runs the jobs: 58 of 60 are enabled on it.",
    "control_path_broken": "The master is the active server, for 21 d. It runs the jobs.",
    "failing_over": "A failover to the slave is under way.",
    "failed_over": "The slave is the active server, for 35 min. It runs the jobs: 58 of 60 are enabled on it.",
    "master_back": "The slave is the active server, for 5 h. It runs the jobs: 58 of 60 are enabled on it.",
    "stale_snapshot": "The master is silent on both paths: most likely its jobs do not run.",
    "split_brain": "Jobs are enabled on both servers: 58 on the slave, 58 on the master.",
    "halted": "The master is the active server",
    "monitor_stopped": "This was seen 3 h ago, and nobody has looked since.",
    "nothing_enabled": "No job is enabled on it, so nothing runs.",
    "no_record": "It is not known which server runs the jobs.",
}


@pytest.mark.parametrize("name", STATES)
def test_each_state_is_told_in_words_and_reads_well(browser: Any, server: PageServer, name: str) -> None:
    state = STATES[name]()
    server.answers = answers(state)
    for width, dark in SIZES:
        seen = Page(browser, server.url, width=width, dark=dark)
        page = seen.page
        page.goto(f"{server.page}?dag_id=denodo_scheduler_failover__emea")
        page.wait_for_selector(".last li, .last + p, section[aria-label='Last events']")
        text = page.text_content("body")
        assert LEADS[name] in page.text_content(".lead")
        for question in ("now", "why", "tool", "you"):
            assert state["story"][question][1:] in text
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.classList.contains('dark')") is dark
        shoot(page, f"{name}-{width}-{'dark' if dark else 'light'}")
        assert serious(page) == []
        assert seen.wrong == []
        seen.close()
