"""Words that people search with lead to nodes of this pack."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

NODES = Path(__file__).resolve().parents[2] / "nodes"


def aliases(file: Path) -> set[str]:
    """Every search alias in a node module."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    given = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "search_aliases"]
    words = [word for value in given for word in ast.walk(value) if isinstance(word, ast.Constant)]
    return {str(word.value) for word in words}


@pytest.mark.parametrize(
    "word, module",
    [
        ("best seed", "best_of"),
        ("best seed", "rank"),
        ("compare", "restore"),
        ("compare", "keep_unedited"),
        ("edit image", "prompt"),
        ("edit image", "diptych"),
        ("edit image", "keep_unedited"),
    ],
)
def test_a_search_word_leads_to_the_node(word: str, module: str):
    assert word in aliases(NODES / f"{module}.py")
