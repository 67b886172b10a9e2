"""``python -m denodo_standin`` is ``denodo-standin``."""

from denodo_standin.cli import main

main()
