"""The first screen of the README: what, why, a picture, two commands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST_SCREEN = (ROOT / "README.md").read_text().partition("\n## ")[0]


def test_what_and_why_come_before_the_picture_and_two_commands_after_it() -> None:
    words, _, rest = FIRST_SCREEN.partition("![")
    assert len(words.split()) < 150
    assert "**Why?**" in words
    (picture,) = re.findall(r"\]\((\S+\.(?:png|svg))\)", FIRST_SCREEN)
    assert (ROOT / picture).exists()
    (block,) = re.findall(r"```bash\n(.*?)```", rest, re.DOTALL)
    run, install = (line.partition("#")[0].split() for line in block.splitlines())
    assert run[0] == "make"
    assert re.search(rf"^{run[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert install == ["pip", "install", "."], "not by its name, before there is a release"
