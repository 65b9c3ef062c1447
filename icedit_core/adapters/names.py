"""Names out of a file, fit for a message: whatever they hold, it stays short and on one line."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 120
_LISTED = 8


def shown(text: str) -> str:
    """A name as people can read it: cut to 120 characters, control characters and the like escaped."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def listed(names: Iterable[str], most: int = _LISTED) -> str:
    """The first few names and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more
