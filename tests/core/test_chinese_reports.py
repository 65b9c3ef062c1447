"""The Chinese of what nodes say after a run (web/js/chinese_reports.json): its English is the code's own, and whole.

How a report is taken apart in the page is tested there (tests/browser/test_words.py).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = json.loads((ROOT / "web" / "js" / "chinese_reports.json").read_text(encoding="utf-8"))
PLACE = re.compile(r"\{\w+\}")
EDGES = " .,:;()%\n"
CODE = [file for folder in ("icedit_core", "nodes", "demo") for file in sorted((ROOT / folder).rglob("*.py"))]
SAID = (  # functions and constants that hold nothing but what a person reads on a node
    *("icedit_core/restore_notes.py:", "icedit_core/keep_words.py:", "icedit_core/colour.py:words"),
    *("icedit_core/registration.py:words", "icedit_core/trust.py:FLAT", "icedit_core/trust.py:judge"),
    *("icedit_core/diptych.py:_describe", "icedit_core/diptych.py:_geometry_notes"),
    *("icedit_core/diptych.py:_value_notes", "icedit_core/allowed.py:_faint_notes", "demo/world.py:of_words"),
    *("icedit_core/rank_images.py:_report", "icedit_core/ranking.py:chosen", "icedit_core/ranking.py:by_score"),
    *("icedit_core/retry.py:report", "icedit_core/retry.py:judged", "icedit_core/retry.py:reworded"),
    *("icedit_core/adapters/weights.py:summary", "icedit_core/expert_map.py:summary"),
    *("nodes/host/inversion.py:_report", "nodes/host/diptych_noise.py:_report"),
    *("icedit_core/inversion/values.py:report", "icedit_core/two_captions.py:report"),
    *("icedit_core/evaluation/edits.py:report", "icedit_core/evaluation/metrics/quality.py:lacks_ssim"),
    *("icedit_core/evaluation/metrics/masked.py:lacks", "icedit_core/evaluation/metrics/unedited.py:lacks"),
    *("icedit_core/evaluation/metrics/clip.py:lacks", "icedit_core/evaluation/metrics/libraries.py:missing"),
    "icedit_core/evaluation/metrics/models.py:lacks",
    *("nodes/host/sampling.py:_report", "nodes/candidates.py:execute", "nodes/keep_best.py:execute"),
    *("nodes/host/changes_shown.py:words", "icedit_core/attention_map.py:report"),
    *("nodes/lora.py:execute", "nodes/prompt.py:execute", "nodes/viescore.py:execute"),
)


def parts(template: str) -> list[str]:
    """What a key says between its places and signs: an f-string may put the code's sentence together there."""
    found = (part.strip(EDGES) for part in re.split(r"\{\w+\}|[(:;]|, |->", template))
    return [part for part in found if part]


def strings(tree: ast.AST) -> Iterator[str]:
    """Every text of a piece of code, outside of docstrings and errors; what an f-string puts in divides it."""
    if isinstance(tree, ast.Raise) or (isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant)):
        return
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield tree.value
    for child in ast.iter_child_nodes(tree):
        yield from strings(child)


def named(where: str) -> Iterator[str]:
    """The texts of `<file>:<function or constant>`, or of the whole file."""
    file, name = where.split(":")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = [
        node
        for node in ast.walk(tree)
        if name == getattr(node, "name", None)
        or (isinstance(node, ast.Assign) and name in [getattr(target, "id", None) for target in node.targets])
    ]
    assert found or not name, f"{where} is gone: name what says it now"
    for node in found or [tree]:
        yield from strings(node)


def test_every_key_is_what_the_code_says():
    said = [text.lower() for file in CODE for text in strings(ast.parse(file.read_text(encoding="utf-8")))]
    gone = {part for key in TABLE for part in parts(key) if not any(part.lower() in text for text in said)}
    assert not gone, "no node says this any more: put the new words into web/js/chinese_reports.json"


def test_everything_that_a_node_says_has_chinese():
    keys = "\n".join(TABLE).lower()
    sentences = {part for where in SAID for text in named(where) for part in parts(text) if " " in part}
    missing = {part for part in sentences if part.lower() not in keys}
    assert not missing, "put these words with their Chinese into web/js/chinese_reports.json"


def test_the_chinese_holds_what_the_english_does():
    for english, chinese in TABLE.items():
        assert re.search("[\u4e00-\u9fff]", chinese) and set(PLACE.findall(english)) >= set(PLACE.findall(chinese))
        lost = set(PLACE.findall(english)) - set(PLACE.findall(chinese))
        assert lost <= {"{n3}"}, f"{english}: {lost} is left out"
