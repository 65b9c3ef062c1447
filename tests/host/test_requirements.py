"""Our pins answer what this ComfyUI asks for."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def requirements(file: Path) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return {canonicalize_name(r.name): r for r in map(Requirement, filter(None, lines))}


def test_the_lock_has_all_that_comfyui_wants_in_versions_it_takes(comfyui: Path):
    lock = (ROOT / "requirements" / "host.txt").read_text(encoding="utf-8")
    wanted = requirements(comfyui / "requirements.txt")
    assert len(wanted) > 20
    for name, requirement in wanted.items():
        versions = re.findall(rf"^{re.escape(name)}==(\S+)", lock, re.MULTILINE)
        assert versions, f"{name} is not in host.txt"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement}: {versions}"


def test_our_list_has_nothing_that_comfyui_does_not_want(comfyui: Path):
    ours = requirements(ROOT / "requirements" / "host.in")
    assert ours.keys() == requirements(comfyui / "requirements.txt").keys()
