"""Foreign text: nothing in it reaches a terminal, an encoder or the next line."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icedit_core import foreign

steady = settings(derandomize=True, deadline=None, database=None, max_examples=300)
letters = st.characters() | st.sampled_from("\x1b\x07\x9b\x00\r\n\t\x7f\u202e\u2028\u2066\ud800\udfff\ufeff<&")
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@steady
@given(st.text(letters, max_size=60), st.integers(1, 80))
def test_any_text_is_printable_encodable_and_short(value, most):
    for clean in (foreign.line, foreign.text, foreign.indented):
        shown = clean(value, most)
        assert not RAW.search(shown)
        shown.encode("utf-8")
        assert len(shown.replace("\n    ", "\n")) <= max(most + len("..."), len("nothing"))
    assert "\n" not in foreign.line(value, most)
    assert all(rest.startswith("    ") for rest in foreign.indented(value, most).split("\n")[1:])


@steady
@given(st.binary(max_size=60))
def test_bytes_are_read_as_utf_8_and_broken_ones_replaced(value):
    assert foreign.line(value) == foreign.line(value.decode("utf-8", "replace"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        ("done\r\nicedit edit: saved", r"done\r\nicedit edit: saved"),
        ("a\ud800b", r"a\ud800b"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("  ", "nothing"),
        ("a\u00a0b\u3000c", "a b c"),
        ("<b> \u4f60\u597d \u00e9", "<b> \u4f60\u597d \u00e9"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("x" * 300, "x" * 200 + "..."),
        ({"a": [1]}, "{'a': [1]}"),
        (None, "None"),
    ],
)
def test_what_is_shown(value, shown):
    assert foreign.line(value) == shown


def test_text_keeps_its_lines_and_nothing_else_of_what_moves_a_cursor():
    assert foreign.text(" one\r\ntwo\x0b\tthree\n") == "one\ntwo\\x0b three"
    assert foreign.indented("one\nicedit edit: saved") == "one\n    icedit edit: saved"
    assert foreign.text("") == ""


def test_what_str_cannot_show_is_said():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert foreign.line(deep) == "a value that cannot be shown (list)"
    assert foreign.line(10**5000) == "a value that cannot be shown (int)"
    while deep:  # taken apart from the outside: a destructor would recurse
        deep = deep.pop()


def test_a_long_text_costs_no_more_than_its_beginning():
    assert foreign.line(b"\xff" * 50_000_000) == "\ufffd" * 200 + "..."
    assert len(foreign.line("\x1b" * 1000)) == 203


def test_plain_names():
    assert foreign.is_plain("a b\u202e.png") and foreign.is_plain("")
    assert not any(map(foreign.is_plain, ("a\0", "a\x1b", "\x9b", json.loads('"\\ud800"'))))
    io.TextIOWrapper(io.BytesIO(), encoding="utf-8").write(foreign.line("\udce9.png"))
