"""What a person sees of a pair at some moment of a story: the page of pairs in Chromium, read and photographed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from denodo_demo.airflow import LocalAirflow
from denodo_demo.camera import PAGE, Camera, browser_path

WITHOUT = "Chromium is missing (apt-get install chromium), or Playwright (pip install -r requirements-dev.txt)"


class Photographs:
    """The page of one Airflow; stories of several threads ask one browser, which knows one thread only.

    :param camera: None where there is no browser: then nothing is seen.
    """

    def __init__(self, camera: Camera | None, thread: ThreadPoolExecutor) -> None:
        self._camera, self._thread = camera, thread

    def look(self, pair: str, state: str) -> str:
        """Photograph the page of a pair, by the name of the state it is in, and return what a person can read there."""
        if self._camera is None:
            return ""
        taken = self._thread.submit(self._camera.shot, state, f"{PAGE}#/pair/{pair}", shows="active server", whole=True)
        return taken.result()


@contextmanager
def photographs(airflow: LocalAirflow, folder: Path) -> Iterator[Photographs]:
    """Start the browser where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=1) as thread:
        if browser_path() is None or find_spec("playwright") is None:
            yield Photographs(None, thread)
            return
        camera = Camera(airflow, folder)
        thread.submit(camera.__enter__).result()
        try:
            yield Photographs(camera, thread)
        finally:
            thread.submit(camera.__exit__, None, None, None).result()
