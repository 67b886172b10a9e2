"""The page *Denodo pairs*: its data as JSON over GET, and its files. Imports nothing, since every component does."""

from pathlib import Path

PREFIX = "denodo-ha"
"""Where it is, below Airflow's base."""
STATIC = Path(__file__).parent / "static"
"""The files of the page."""
