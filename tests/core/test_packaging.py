"""What a wheel holds, and what the manifests and locks say."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("no git checkout here, so the shipped files cannot be told from the rest")
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in a wheel built from the tracked files, without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked:
        if not name.startswith(("demo/weights", "tests/fixtures")):
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


def test_registry_metadata():
    comfy = PROJECT["tool"]["comfy"]
    assert {"PublisherId", "DisplayName", "Icon", "requires-comfyui", "includes"} <= set(comfy)
    assert comfy["DisplayName"] == "ICEdit"
    assert "comfyui" not in PROJECT["project"]["name"].lower()


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


def test_the_manifest_asks_for_nothing_that_the_locks_lack():
    project = PROJECT["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    assert {canonicalize_name(Requirement(line).name) for line in wanted} <= pins("host.txt").keys() | pins(
        "dev.txt"
    ).keys()
