"""`dev.py new-node`: the stubs fit the house, and a test fails as long as one is a stub."""

import ast
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from devtools.commands import new_node

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name in ("nodes/__init__.py", "locales/zh/nodeDefs.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def modules(root: Path) -> tuple[str, ...]:
    tree = ast.parse((root / "nodes" / "__init__.py").read_text(encoding="utf-8"))
    return next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES"
    )


def test_every_place_of_a_node_has_its_stub(house: Path):
    written = new_node.write(house, "sharpen_edges", None)
    assert modules(house) == (*modules(ROOT), "sharpen_edges")
    for path in written:
        text = (house / path).read_text(encoding="utf-8")
        assert "sharpen_edges" in text or "ICEditSharpenEdges" in text or "ICEdit Sharpen Edges" in text, path
        if path.suffix == ".py":
            ast.parse(text)
    assert {path.parts[0] for path in written} == {"icedit_core", "nodes", "tests", "web", "locales"}


def test_no_stub_is_left_in_the_pack(house: Path):
    assert "TO WRITE" in (house / new_node.write(house, "sharpen")[4]).read_text(encoding="utf-8")
    places = ("icedit_core/**/*.py", "nodes/**/*.py", "tests/*/*.py", "web/docs/**/*.md", "locales/*/*.json")
    files = [file for place in places for file in ROOT.glob(place) if file != Path(__file__)]
    assert len(files) > 500
    assert [file for file in files if "TO WRITE" in file.read_text(encoding="utf-8")] == []


def test_the_core_stub_runs_and_its_test_fails_until_it_is_written(house: Path):
    new_node.write(house, "sharpen", "ICEdit Sharpen")
    spec = importlib.util.spec_from_file_location("sharpen", house / "icedit_core" / "sharpen.py")
    assert spec and spec.loader
    spec.loader.exec_module(made := importlib.util.module_from_spec(spec))
    assert made.sharpen("as it came") == "as it came"
    assert "assert not torch.equal(sharpen(image), image)" in (house / "tests/core/test_sharpen.py").read_text()


def test_the_chinese_of_before_stays_as_it_is(house: Path):
    new_node.write(house, "sharpen")
    before, after = (
        json.loads((root / "locales/zh/nodeDefs.json").read_text(encoding="utf-8")) for root in (ROOT, house)
    )
    assert list(after) == [*before, "ICEditSharpen"] and {key: after[key] for key in before} == before


@pytest.mark.parametrize("name", ["Sharpen", "sharpen-edges", "../up", "", "_x", "x__y"])
def test_a_name_that_is_none_is_refused(house: Path, name: str):
    with pytest.raises(ValueError, match="a module's name is needed"):
        new_node.write(house, name)


def test_what_is_there_is_not_replaced(house: Path):
    (house / "nodes/sharpen.py").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"nodes/sharpen\.py is there already"):
        new_node.write(house, "sharpen")
    assert (house / "nodes/sharpen.py").read_text(encoding="utf-8") == "mine"
    assert not (house / "icedit_core").exists() and modules(house) == modules(ROOT)
