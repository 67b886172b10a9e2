"""The DAGs of a pair, each kind in a module of its own; :mod:`.shared` has what they have in common."""

from __future__ import annotations

import re

OUR_DAGS = re.compile(r"denodo_scheduler_(?P<kind>[a-z]+)__(?P<pair>.+)")
"""DAG ids, and their kind and pair."""

PAIRS_DAG_FILE = "denodo_scheduler_pairs.py"
"""The DAG file whose import error tells the mistakes in the file of pairs."""

NOTE = "note"
"""The XCom in which a task leaves one sentence on its run."""
