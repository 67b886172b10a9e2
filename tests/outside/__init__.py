"""What others rely on, pinned: see ``support.outside`` for what to do when one of these tests fails."""
