"""Timeouts of the clients in these tests: an answer keeps them, however slow the machine is, and silence does not."""

from __future__ import annotations

import httpx

from denodo_demo.processes import LONGEST_ANSWER

ANSWERED = (60.0, 60.0)
"""Of a connection whose server answers: seconds to connect and to read."""
SILENT = (60.0, 0.3)
"""Of a connection whose server is silent, which has to be waited out."""
IMPATIENT = httpx.Timeout(LONGEST_ANSWER, read=0.2)
"""Of a client that is to give up while it waits for the answer."""
