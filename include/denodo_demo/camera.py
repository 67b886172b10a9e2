"""Pictures of Airflow's interface and of the page of pairs, taken in Chromium; Playwright is a development tool."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from denodo_demo.airflow import LocalAirflow
from denodo_demo.processes import WaitError
from denodo_demo.slowness import allow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page, Playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGE = "/denodo-ha/page/index.html"
"""The page of pairs by itself, without Airflow's interface around it."""


def browser_path() -> str | None:
    """Return where Chromium is; None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def pair_in_airflow(pair: str) -> str:
    """Return the path of the tab *Denodo pair* of a pair's failover DAG."""
    return f"/dags/denodo_scheduler_failover__{pair}/plugin/denodo-pair"


class Camera:
    """A browser in which the administrator of a running Airflow is logged in.

    All calls have to come from the thread that has entered it.

    :param folder: where the pictures go.
    """

    def __init__(self, airflow: LocalAirflow, folder: Path) -> None:
        self.folder = folder
        self._airflow = airflow
        self._playwright: Playwright
        self._browser: Browser

    def __enter__(self) -> Self:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def shot(
        self,
        name: str,
        path: str,
        *,
        shows: str,
        dark: bool = False,
        width: int = 1280,
        height: int = 900,
        click: str = "",
        whole: bool = False,
        only: str = "",
    ) -> str:
        """Open a page, wait until it shows something, and write ``<folder>/<name>.png``.

        :param path: of Airflow's address. :param shows: a text that must be visible, in the page or in a frame of it.
        :param click: the name of a tab that is chosen first. :param whole: the whole page, however long it is.
        :param only: the CSS selector of the one element that is photographed.
        :return: the text that a person can read then.
        """
        page = self._browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        try:
            page.set_default_timeout(allow(30) * 1000)
            self._log_in(page, dark=dark)
            page.goto(f"{self._airflow.url}{path}")
            frame = self._frame(page)
            if click:
                frame.get_by_role("link", name=click, exact=True).click()
            frame.get_by_text(shows).first.wait_for()
            file = self.folder / f"{name}.png"
            if only:
                frame.locator(only).screenshot(path=file)
            else:
                page.screenshot(path=file, full_page=whole)
            return str(frame.inner_text("body"))
        finally:
            page.close()

    def _log_in(self, page: Page, *, dark: bool) -> None:
        token = self._airflow.api.token()
        page.context.add_cookies([{"name": "_token", "value": token, "url": self._airflow.url}])
        page.add_init_script(f"localStorage.setItem('theme', '{'dark' if dark else 'light'}')")

    @staticmethod
    def _frame(page: Page) -> Frame:
        """The page of pairs, in the frame that Airflow shows it in, or by itself."""
        if PAGE in page.url:
            return page.main_frame
        inner = page.wait_for_selector("iframe")
        frame = inner.content_frame() if inner else None
        if frame is None:
            raise WaitError(f"{page.url} shows no frame.")
        return frame
