"""What a wheel and the registry's archive hold, and what the manifests and locks say."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from icedit_core.cli import compare, edit, evaluate, keep, train

from .. import packed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ARCHIVE = """
    __init__.py pyproject.toml LICENSE README.md README.zh.md CHANGELOG.md SECURITY.md
    nodes/**/*.py icedit_core/**/*.py
    demo/*.py demo/example.png demo/scenes/*.py
    demo/weights/*.safetensors demo/weights/*.json demo/loras/*.safetensors demo/loras/*.json
    web/js/*.js web/js/*.json web/docs/*.md web/docs/*/zh.md web/docs/images/*.png locales/*/*.json
    workflows/*.json workflows/*.jpg workflows/api/*.json subgraphs/*.json
    docs/*.md docs/examples/*.toml docs/images/demo.png
"""
NOT_FOR_USERS = {"docs/translating.md"}
ARCHIVE_LIMIT = 21_000_000  # bytes as downloaded; 20.6 MB on 2026-11-27, of it 14.6 the demo's base and 3.1 its VAE


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    return packed.tracked()


@pytest.fixture(scope="module")
def wheel(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from the tracked files, without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked:
        if not name.startswith(("demo/", "workshop/", "tests/fixtures")):
            copy = source / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())
    code = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    built = subprocess.run([sys.executable, "-c", code, str(target)], cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (file,) = target.glob("*.whl")
    return zipfile.ZipFile(file).namelist()


def test_wheel_holds_the_core_alone(wheel: list[str]):
    top = {name.split("/")[0] for name in wheel}
    assert top == {"icedit_core", f"icedit-{PROJECT['project']['version']}.dist-info"}


def test_wheel_holds_every_module_of_the_core(wheel: list[str], tracked: list[str]):
    modules = {name for name in tracked if name.startswith("icedit_core/") and name.endswith(".py")}
    assert "icedit_core/client/api.py" in modules and modules <= set(wheel)


def test_wheel_carries_the_licence(wheel: list[str]):
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the registry's tool makes of the working tree."""
    return packed.archive(tmp_path_factory.mktemp("registry"))


def of_kind(name: str, kind: str) -> bool:
    """Whether a path is of a glob's kind; `**/` stands for any folders, `*` for no slash."""
    return bool(re.fullmatch(re.escape(kind).replace(r"\*\*/", "(?:[^/]+/)*").replace(r"\*", "[^/]*"), name))


def test_the_registrys_archive_holds_the_known_kinds_and_all_of_them(archive: Path, tracked: list[str]):
    names = zipfile.ZipFile(archive).namelist()
    wanted = {name for name in tracked if any(of_kind(name, kind) for kind in ARCHIVE.split())} - NOT_FOR_USERS
    assert sorted(set(names) - wanted) == [], "of no known kind: a line in ARCHIVE, or one in .comfyignore"
    assert sorted(wanted - set(names)) == [], "left out by .comfyignore"
    assert len(names) == len(set(names))


def test_the_archive_is_light(archive: Path):
    sizes = {file.filename: file.compress_size for file in zipfile.ZipFile(archive).infolist()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:6]
    assert max(sum(sizes.values()), archive.stat().st_size) <= ARCHIVE_LIMIT, {name: sizes[name] for name in largest}
    assert [name for name in sizes if name.startswith("demo/loras/")] == ["demo/loras/icedit_demo_moe_lora.safetensors"]
    assert sizes["demo/weights/icedit_demo_clip_l.safetensors"] < 10_000  # zeros


def test_the_pictures_of_the_help_pages_are_shipped(archive: Path):
    files = zipfile.ZipFile(archive)
    pages = [name for name in files.namelist() if name.startswith("web/docs/") and name.endswith(".md")]
    shown = {name for page in pages for name in re.findall(r"!\[.*?\]\(([^):]+)\)", files.read(page).decode())}
    assert shown and {f"web/docs/{name}" for name in shown} <= set(files.namelist())


def test_the_registrys_rules_find_nothing_and_nothing_is_hidden_from_them():
    rules = ["--isolated", "--ignore-noqa", "--select", "S102,S307,E702"]
    run = subprocess.run([sys.executable, "-m", "ruff", "check", *rules, "."], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_the_registrys_tool_validates_the_pack_without_a_warning(tmp_path: Path):
    said = packed.comfy(ROOT, tmp_path, "node", "validate")
    assert "All validation checks passed" in said and "arning" not in said


def test_registry_metadata():
    project, comfy = PROJECT["project"], PROJECT["tool"]["comfy"]
    assert set(comfy) == {"PublisherId", "DisplayName", "Icon", "requires-comfyui", "includes"}
    assert comfy["PublisherId"] and comfy["DisplayName"] == "ICEdit" and comfy["includes"] == []
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert re.fullmatch(r"[a-z]+([._-]?[a-z0-9]+)*", project["name"]) and "comfy" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"]) and project["description"]
    assert "Operating System :: OS Independent" in project["classifiers"]


def test_changelog_knows_the_version():
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_sources_are_ascii(tracked: list[str]):
    assert [name for name in tracked if name.endswith(".py") and not (ROOT / name).read_bytes().isascii()] == []


def pins(name: str) -> dict[str, str]:
    """Package -> its pinned lines with their hashes, of one lock."""
    text = (REQUIREMENTS / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            package = canonicalize_name(re.split(r"[=<>\[ ;]", line, maxsplit=1)[0])
            found[package] = found.get(package, "") + line + "\n"
    return found


@pytest.mark.parametrize("name", ["tools.txt", "host.txt", "dev.txt", "comfyui.txt"])
def test_locks_pin_and_hash_everything_and_name_no_address(name: str):
    for package, lines in pins(name).items():
        for line in lines.splitlines():
            assert re.match(r"[A-Za-z0-9._\-\[\]]+==\S+ ", line) and "--hash=sha256:" in line, f"{package}: {line[:80]}"
    assert "://" not in (REQUIREMENTS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["tools", "host", "dev"])
def test_locks_answer_their_sources(name: str):
    wanted = (REQUIREMENTS / f"{name}.in").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in wanted if line.strip() and not line.startswith(("#", "-"))]
    locked = pins(f"{name}.txt")
    for requirement in wanted:
        versions = re.findall(r"==(\S+)", locked[canonicalize_name(requirement.name)])
        assert versions and all(requirement.specifier.contains(version) for version in versions), requirement


def test_both_locks_agree():
    host, dev = pins("host.txt"), pins("dev.txt")
    for package in host.keys() & dev.keys():
        assert _pinned(host[package]) == _pinned(dev[package]), package


def _pinned(lines: str) -> set[str]:
    """Versions and hashes, without the conditions on which the resolver's two runs may phrase differently."""
    return set(re.findall(r"==\S+(?= )|sha256:\w+", re.sub(r";.*?(?=--hash)", " ", lines)))


def wanted(extra: str | None) -> set[str]:
    """The packages that the project asks for, with those of an extra and of the extras that it includes."""
    project = PROJECT["project"]
    found = set()
    for line in project["dependencies"] + (project["optional-dependencies"][extra] if extra else []):
        requirement = Requirement(line)
        own = requirement.name == project["name"]
        found |= set().union(*map(wanted, requirement.extras)) if own else {canonicalize_name(requirement.name)}
    return found


def test_the_manifest_asks_for_nothing_that_the_locks_lack():
    assert wanted("test") <= pins("host.txt").keys() | pins("dev.txt").keys()


def test_the_command_alone_is_light_and_the_extras_bring_the_rest():
    assert wanted(None) == {"aiohttp", "pillow"}
    assert wanted("torch") == wanted(None) | {"torch", "safetensors", "einops", "numpy"}
    asked = {canonicalize_name(package) for package in (train.NEEDED | edit.NEEDED).values()}
    assert asked <= wanted("train") and set(map(canonicalize_name, edit.NEEDED.values())) == wanted(None)
    assert set(map(canonicalize_name, keep.NEEDED.values())) <= wanted("keep") < wanted("torch")
    assert wanted("torch") < wanted("train") and wanted("torch") < wanted("test")
    assert wanted("torch") < wanted("eval") <= wanted("test") and "ray" not in wanted("eval")
    assert set(map(canonicalize_name, (compare.NEEDED | evaluate.NEEDED).values())) <= wanted("eval")
