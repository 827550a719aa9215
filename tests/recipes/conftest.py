"""docs/recipes.md against real databases and readers. They have a venv of their own: see `make recipes`."""

from __future__ import annotations

from importlib.util import find_spec

# Where the databases are not installed, as in .venv, there is nothing to collect.
collect_ignore_glob = [] if find_spec("chromadb") else ["test_*.py"]
