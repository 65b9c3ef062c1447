"""README and its pages: short, their links lead somewhere, one address, and every workflow and node is explained."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from .. import packed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ADDRESS = PROJECT["project"]["urls"]["Repository"]
READMES = ["README.md", "README.zh.md"]
NOT_RUN = "\u5c1a\u672a"  # "not yet"
TEXT = {".md", ".py", ".json", ".toml", ".js", ".yml", ".yaml", ".txt", ".svg"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pages() -> list[str]:
    return [name for name in packed.tracked() if name.endswith(".md") and name.startswith(("README", "docs/"))]


@pytest.mark.parametrize("name", READMES)
def test_readme_is_read_in_five_minutes(name: str):
    lines = read(name).splitlines()
    assert len(lines) <= 90, "move what a user does not need in the first hour to docs/"
    commands = re.findall(r"^```\n(.*?)^```$", read(name), re.S | re.M)
    assert commands == [f"git clone --depth 1 {ADDRESS} ICEdit\n"]
    assert "anager" not in read(name), "the pack is in no list of the Manager yet"


@pytest.mark.parametrize("name", READMES)
def test_readme_says_before_the_install_that_flux_fill_was_not_run(name: str):
    before = read(name).split("\n## ")[0]
    assert re.search(rf"\*\*[^*]*FLUX\.1 Fill[^*]*not (been )?run|\*\*[^*]*{NOT_RUN}[^*]*FLUX\.1 Fill", before)


@pytest.mark.parametrize(("name", "language"), [("README.md", "en"), ("README.zh.md", "zh")])
def test_the_first_edit_is_called_as_on_its_card(name: str, language: str):
    cards = {texts[language][0] for texts in json.loads(read("web/js/templates.json")).values()}
    steps = re.findall(r"^[234]\. .*$", read(name), re.MULTILINE)
    assert len(steps) == 3 and all(any(f"**{card}**" in step for card in cards) for step in steps)
    overview = read("docs/workflows.zh.md" if language == "zh" else "docs/workflows.md")
    assert {card for card in cards if card not in overview} == set()


@pytest.mark.parametrize("name", READMES)
def test_readme_has_the_kinds_of_files_that_cards_need(name: str):
    text = read(name)
    for kind, published in {
        "bf16": "14 GB",
        "fp8": "11.9 GB",
        "GGUF": "10 GB",
        "Nunchaku": "4 GB",
        "Turbo": "8 ",
    }.items():
        assert any(kind in row and published in row for row in text.splitlines() if row.startswith("|")), kind


def test_one_address_for_the_pack():
    """pyproject.toml has it; the two READMEs and the icon repeat it, nothing else does, and OWNER is never released."""
    assert re.fullmatch(r"https://github\.com/[\w-]+/icedit", ADDRESS)
    owner = ADDRESS.split("/")[3]
    assert (
        PROJECT["tool"]["comfy"]["Icon"]
        == f"https://raw.githubusercontent.com/{owner}/icedit/main/docs/images/icon.svg"
    )
    named = {}
    for name in packed.tracked():
        if Path(name).suffix in TEXT and not name.startswith("tests/fixtures") and name != "tests/core/test_readme.py":
            found = re.findall(r"github(?:usercontent)?\.com/([\w-]+)/icedit\b", read(name))
            named |= {name: set(found)} if found else {}
    assert named == dict.fromkeys(["README.md", "README.zh.md", "pyproject.toml"], {owner})
    if owner == "OWNER":
        assert f"## {PROJECT['project']['version']} (not released yet)" in read("CHANGELOG.md"), "put the address in"


def test_the_icon_is_a_small_picture_of_its_own():
    icon = read("docs/images/icon.svg")
    assert icon.startswith("<svg ") and len(icon) < 4000 and "href" not in icon and "<script" not in icon


@pytest.mark.parametrize("name", pages())
def test_links_of_the_pages_lead_to_files(name: str):
    tracked = set(packed.tracked())
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", read(name)):
        if not re.match(r"[a-z]+:", target):
            path = ((ROOT / name).parent / unquote(target)).resolve().relative_to(ROOT).as_posix()
            assert path in tracked, f"{name}: {target}"


@pytest.mark.parametrize("name", ["docs/workflows.md", "docs/workflows.zh.md"])
def test_every_workflow_and_blueprint_is_explained(name: str):
    shipped = {Path(path).stem for path in packed.tracked() if re.fullmatch(r"(workflows|subgraphs)/[^/]+\.json", path)}
    text = read(name)
    assert shipped and {stem for stem in shipped if f"`{stem}`" not in text and f"*{stem}*" not in text} == set()


@pytest.mark.parametrize("name", ["docs/nodes.md", "docs/nodes.zh.md"])
def test_every_node_is_explained(name: str):
    shown = {node: names["display_name"] for node, names in json.loads(read("locales/en/nodeDefs.json")).items()}
    chinese = {node: names["display_name"] for node, names in json.loads(read("locales/zh/nodeDefs.json")).items()}
    text = read(name)
    assert shown and [node for node in shown if shown[node] not in text and chinese[node] not in text] == []


def test_every_english_page_for_users_is_reached_from_the_readme():
    linked = set(re.findall(r"\]\((docs/[\w.]+)\)", read("README.md")))
    wanted = {name for name in pages() if re.fullmatch(r"docs/\w+\.md", name)} - {"docs/translating.md"}
    assert wanted <= linked, "translating.md is for those who work on the pack: CONTRIBUTING.md leads there"


def test_chinese_has_one_word_for_comfyuis_own_and_another_for_the_authors():
    """The word `official` would stand for both."""
    official = "\u5b98\u65b9"
    places = [name for name in packed.tracked() if name.endswith("zh.md") or name.startswith("locales/zh/")]
    assert len(places) > 20 and [name for name in places if official in read(name)] == []
