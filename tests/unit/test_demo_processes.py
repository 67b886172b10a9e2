"""What the programs around the stand-in do with processes and ports."""

from __future__ import annotations

import random
import socket
import subprocess
import sys

from denodo_demo.processes import free_port


def test_no_two_programs_are_given_the_same_port() -> None:
    random.seed(1)
    ours = [free_port() for _ in range(5)]
    code = "import random; from denodo_demo.processes import free_port; random.seed(1); print(free_port(), free_port())"
    theirs = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert len({*ours, *map(int, theirs)}) == 7


def test_a_preferred_port_is_given_once_and_never_while_something_listens_there() -> None:
    port = free_port()
    assert free_port(port) != port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        assert free_port(taken) != taken
