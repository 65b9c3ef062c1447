"""The server's address as a user types it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .. import foreign

SERVER = "http://127.0.0.1:8188"


def read(typed: str) -> str:
    """The address, with `http://` before a bare `host:port`.

    Raises:
        ValueError: it is none, or has more in it than one; a name and password in it are not repeated.
    """
    address = f"http://{typed}" if re.fullmatch(r"[\w.-]+:\d+/?|\[[0-9a-fA-F:.]+\]:\d+/?", typed) else typed
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[@?#\\\s]", address) or not foreign.is_plain(address):
        shown = typed.rpartition("@")[2]
        raise ValueError(
            f"--server got {foreign.line(shown)}, but an address like {SERVER} or 127.0.0.1:8188 is needed, without a "
            "name or password in it."
        )
    return address.rstrip("/")
