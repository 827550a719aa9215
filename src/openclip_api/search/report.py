"""What index says at its end."""

from __future__ import annotations

from collections import Counter

from ..bulk.selection import told
from .look import Look
from .sync import Counts


def last_line(counts: Counts, look: Look, left_out: Counter[str], noun: str) -> str:
    """4,012 images: 12 new, 3 changed, 2 renamed, 5 removed, 3,990 unchanged, 5 could not be read, 3 left out"""
    unchanged, failed = look.unchanged + counts.unchanged, look.failed + counts.failed
    parts = [
        (counts.new, "new"),
        (counts.changed, "changed"),
        (counts.renamed, "renamed"),
        (counts.removed, "removed"),
        (unchanged, "unchanged"),
        (look.kept, "missing but kept"),
        (failed, "could not be read"),
        (look.repeated, "with the id of an earlier one"),
    ]
    shown = [f"{count:,} {what}" for count, what in parts if count]
    if left_out:
        shown.append(told(left_out))
    total = counts.new + counts.changed + counts.renamed + unchanged + failed
    return f"{total:,} {noun if total != 1 else noun.removesuffix('s')}" + (f": {', '.join(shown)}" if shown else "")
