"""Foreign text made fit to be shown: what servers, models and files say before it reaches a terminal, log or report.

Escape sequences can move a terminal's cursor or fill its clipboard, a line break can imitate a line of ours, and a
lone surrogate raises in whatever encodes it. Only the standard library is needed here. `<` is left alone: it is escaped
where HTML is made.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

LINE_LENGTH = 200
TEXT_LENGTH = 2000
JOINERS = "\u200c\u200d"  # invisible, but parts of words in Persian and of emoji


def line(value: object, most: int = LINE_LENGTH) -> str:
    """A value on one line: what cannot be printed is shown escaped, e.g. `\\x1b`.

    Args:
        value: text, UTF-8 bytes, or anything that `str` can show.
        most: characters to keep; "..." stands for the rest.
    Returns:
        printable text that UTF-8 can encode; "nothing" if there is none.
    """
    return _cut("".join(map(_shown, _readable(value, most).strip())), most) or "nothing"


def text(value: object, most: int = TEXT_LENGTH) -> str:
    """As `line`, but line breaks and tabs stay, as "\\n" and a space; "" if there is nothing."""
    whole = _readable(value, most).replace("\r\n", "\n").replace("\t", " ").strip()
    return _cut("".join(letter if letter == "\n" else _shown(letter) for letter in whole), most)


def indented(value: object, most: int = TEXT_LENGTH) -> str:
    """As `text`, with every line after the first indented, so that none looks like a line of ours."""
    return text(value, most).replace("\n", "\n    ")


def listed(values: Iterable[object], most: int) -> str:
    """As many values as that, each as by `line`, with commas between; "nothing" if there are none."""
    known = list(values)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(line(value) for value in known[:most]) + more or "nothing"


def is_plain(value: str) -> bool:
    """Whether a name has neither control characters nor lone surrogates."""
    return all(unicodedata.category(letter) not in ("Cc", "Cs") for letter in value)


def _readable(value: object, most: int) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value[: 4 * most + 4]).decode("utf-8", "replace")[: most + 1]
    try:
        whole = str(value)
    except (RecursionError, ValueError):  # nested too deeply, or an integer of too many digits
        whole = f"a value that cannot be shown ({type(value).__name__})"
    return whole.strip()[: most + 1]


def _shown(letter: str) -> str:
    if letter.isprintable() or letter in JOINERS:
        return letter
    return " " if unicodedata.category(letter) == "Zs" else ascii(letter)[1:-1]


def _cut(shown: str, most: int) -> str:
    return shown if len(shown) <= most else f"{shown[:most]}..."
