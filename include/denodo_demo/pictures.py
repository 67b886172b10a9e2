"""``make pictures``: the pictures of README and docs, from a run of the demo in Chromium, so that they stay true."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from denodo_demo.airflow import PROJECT
from denodo_demo.camera import PAGE, Camera, browser_path, pair_in_airflow
from denodo_demo.demo import demo
from denodo_demo.processes import WaitError
from denodo_demo.progress import Progress
from denodo_demo.stage import PAIR, Stage

FOLDER = PROJECT / "docs" / "pictures"


def pictures(progress: Progress) -> list[str]:
    """Run the demo, and take pictures as it goes.

    :return: the problems of the demo; empty if there are none. Pictures of a demo that went wrong are not to be kept.
    :raises WaitError: there is no Chromium.
    """
    if browser_path() is None:
        raise WaitError("There is no Chromium. On Debian or Ubuntu: apt-get install chromium.")
    FOLDER.mkdir(exist_ok=True)
    return demo(progress, take_picture)


def take_picture(stage: Stage, state: str, table: Table | None) -> None:
    """Photograph the pair's page in the light and in the dark, or a table of the terminal."""
    if table is not None:
        console = Console(record=True, width=100, file=io.StringIO())
        console.print(table)
        console.save_svg(str(FOLDER / f"{state}.svg"), title="make demo")
        return
    with Camera(stage.airflow, FOLDER) as camera:
        page = pair_in_airflow(PAIR)
        camera.shot(f"page-{state}", page, shows="epoch")
        if state == "normal":
            camera.shot("topology", f"{PAGE}#/pair/{PAIR}", shows="epoch", only="svg.drawing")
            camera.shot("page-dark", page, shows="epoch", dark=True)
            camera.shot("pairs", "/plugin/denodo-pairs", shows=PAIR)
            camera.shot("jobs", page, shows="Load", click="Jobs")
            camera.shot("quiet-moments", page, shows="UTC", click="Quiet moments")
