"""docs/compatibility.md says nothing works without a test of that name."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ("exact", "within tolerance", "refused with message", "not run")
TEST = re.compile(r"`((?:[a-z_]+\.py::)?test_[a-z0-9_]+(?:\.py)?)")


def rows():
    """(condition, result, test) of the tables of conditions; `same` is the row's before."""
    found: list[tuple[str, str, str]] = []
    conditions = False
    for line in (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")] if line.startswith("|") else []
        if not cells or cells[0] == "condition":
            conditions = bool(cells)
        elif conditions and not set(line) <= set("|- "):
            found.append((cells[0], cells[1], found[-1][2] if cells[-1] == "same" else cells[-1]))
    return found


@functools.cache
def known() -> frozenset[str]:
    """Every file of tests and every test function in one."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.add(path.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found |= {node.name, f"{path.name}::{node.name}"}
    return frozenset(found)


@pytest.mark.parametrize(("condition", "result", "test"), rows())
def test_every_row_has_a_result_and_a_test_that_exists(condition, result, test):
    assert result.startswith(RESULTS)
    named = TEST.findall(test)
    assert result == "not run" or named
    assert set(named) <= known()


def test_the_page_has_rows_of_every_part():
    conditions = " ".join(condition for condition, _, _ in rows())
    assert len(rows()) > 35
    assert all(word in conditions for word in ("fp8_e4m3fn", "GGUF", "low VRAM", "ControlNet", "TorchCompileModel"))
