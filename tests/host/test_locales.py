"""Help pages and locales: complete in both languages, what is made is up to date, and the checks see faults."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from devtools.locales import ROOT, files, own, problems
from icedit_core.client import ComfyClient

MADE = ("locales", "web/docs")


@pytest.fixture(scope="module")
def info(server: Any) -> dict[str, Any]:
    """The pack's nodes as the host tells them."""

    async def ask() -> dict[str, Any]:
        async with ComfyClient(server.url) as client:
            return await client.object_info()

    return {name: node for name, node in asyncio.run(ask()).items() if name.startswith("ICEdit")}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The pack's texts, to be spoilt."""
    for folder in MADE:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_nothing_is_missing(info: Mapping[str, Any]):
    assert problems(info, ROOT) == []


def test_what_is_made_is_up_to_date(info: Mapping[str, Any]):
    stale = [
        path.as_posix()
        for path, text in files(info).items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: python dev.py bench locales"


def test_parts_that_no_menu_shows_need_no_help(info: Mapping[str, Any]):
    rounds = {"ICEditRetryBest", "ICEditRetryRound", "ICEditRetryWords"}
    assert set(info) - set(own(info)) == {"ICEditGoodEnough", "ICEditAgreed", "ICEditGather"} | rounds


def spoil_json(root: Path, path: tuple[str, ...], value: Any) -> None:
    file = root / "locales/zh/nodeDefs.json"
    texts = json.loads(file.read_text(encoding="utf-8"))
    inner = texts
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    file.write_text(json.dumps(texts), encoding="utf-8")


WIDTH = ("ICEditDiptych", "inputs", "width", "name")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (WIDTH, None, "lacks ICEditDiptych.inputs.width.name"),
        (WIDTH, "width", "ICEditDiptych.inputs.width.name is the English text"),
        (WIDTH, "Breite", "ICEditDiptych.inputs.width.name is 'Breite', without a Chinese character"),
        (WIDTH, "\u5bbd\u5ea6{x}", "ICEditDiptych.inputs.width.name holds { }"),
        (("ICEditDiptych", "inputs", "breadth"), {"name": "x"}, "has ICEditDiptych.inputs.breadth.name, but no node"),
        (("ICEditPrompt", "inputs", "template", "tooltip"), None, "lacks ICEditPrompt.inputs.template.tooltip"),
        (("ICEditRank", "outputs", "4", "tooltip"), None, "lacks ICEditRank.outputs.4.tooltip"),
        (("ICEditRank", "description"), None, "lacks ICEditRank.description"),
        (("ICEditGone",), {"display_name": "x"}, "has ICEditGone.display_name, but no node"),
    ],
)
def test_a_fault_in_the_chinese_is_named(info: Mapping[str, Any], copy: Path, path: Any, value: Any, said: str):
    spoil_json(copy, path, value)
    found = problems(info, copy)
    assert any(said in line and "locales/zh/nodeDefs.json" in line for line in found), found


def test_a_fault_in_a_schema_is_named(info: Mapping[str, Any], copy: Path):
    spoilt = json.loads(json.dumps(info))
    spoilt["ICEditDiptych"]["input"]["required"]["width"][1]["tooltip"] = ""
    spoilt["ICEditDiptych"]["output_tooltips"][0] = None
    spoilt["ICEditNew"] = spoilt["ICEditDiptych"] | {"description": ""}
    found = "\n".join(problems(spoilt, copy))
    assert "ICEditDiptych: its schema in nodes/ has no tooltip for the input 'width'" in found
    assert "ICEditDiptych: its schema in nodes/ has no tooltip for the output 'diptych'" in found
    assert "ICEditNew: its schema in nodes/ has no description" in found
    assert "locales/zh/nodeDefs.json lacks ICEditNew.display_name" in found
    assert "web/docs/ICEditNew.md is missing" in found and "web/docs/ICEditNew/zh.md is missing" in found


@pytest.mark.parametrize(
    ("page", "old", "new", "said"),
    [
        ("ICEditDiptych.md", "`around_mask`", "`around_a_mask`", "names `around_a_mask`"),
        ("ICEditDiptych.md", "#ICEditPrompt", "#ICEditPromt", "links to #ICEditPromt"),
        ("ICEditDiptych.md", "images/diptych.png", "images/dyptich.png", "shows images/dyptich.png"),
        ("ICEditDiptych.md", "## Common mistakes", "## Mistakes", "has no section '## Common mistakes'"),
        ("ICEditDiptych.md", "<!-- end -->", "", "must hold the lists of inputs and outputs once"),
        ("ICEditDiptych/zh.md", "\n## ", "\nOnly English here.\n\n## ", "has a paragraph without a Chinese character"),
    ],
)
def test_a_fault_in_a_page_is_named(info: Mapping[str, Any], copy: Path, page: str, old: str, new: str, said: str):
    file = copy / "web/docs" / page
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    found = problems(info, copy)
    assert found and all(line.startswith(f"web/docs/{page} ") for line in found) and said in found[0], found


def test_missing_copied_and_stray_pages_are_named(info: Mapping[str, Any], copy: Path):
    docs = copy / "web/docs"
    (docs / "ICEditRank.md").unlink()
    shutil.copyfile(docs / "ICEditPrompt.md", docs / "ICEditPrompt/zh.md")
    (docs / "ICEditOld.md").write_text("# Old\n", encoding="utf-8")
    found = "\n".join(problems(info, copy))
    assert "web/docs/ICEditRank.md is missing" in found
    assert "web/docs/ICEditPrompt/zh.md is the English page" in found
    assert "web/docs/ICEditOld.md belongs to no node" in found


def test_a_new_input_makes_the_lists_stale(info: Mapping[str, Any]):
    changed = json.loads(json.dumps(info))
    changed["ICEditDiptych"]["input"]["required"]["depth"] = ["INT", {"min": 0, "max": 8, "tooltip": "How deep."}]
    page = files(changed)[Path("web/docs/ICEditDiptych.md")]
    assert "- **depth** (whole number, 0 to 8): How deep." in page
    assert "lacks ICEditDiptych.inputs.depth.tooltip ('How deep.')" in "\n".join(problems(changed, ROOT))


async def test_the_host_serves_both_languages(server: Any, client: ComfyClient, info: Mapping[str, Any]):
    told = await client.get_json("/i18n")
    docs = ROOT / "web" / "docs"
    for language in ("en", "zh"):
        assert set(told[language]["nodeDefs"]) == set(own(info)), language
    async with aiohttp.ClientSession(server.url) as session:
        for path in sorted(docs.rglob("*.*")):
            # As the front end asks; the pack's folder is called ICEdit on the test's host.
            async with session.get(f"/extensions/ICEdit/docs/{path.relative_to(docs).as_posix()}") as answer:
                assert answer.status == 200 and await answer.read() == path.read_bytes(), path
