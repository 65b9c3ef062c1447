"""What the registry's archive holds is a whole pack: unpacked into an empty ComfyUI, it registers and edits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from devtools import workflows
from devtools.server import MEMORY_LIMIT, Host, running_host
from icedit_core.client import ComfyClient

from .. import packed
from . import graphs

NAME = "icedit"  # the folder that the registry's clients unpack into: the project's name


@pytest.fixture(scope="module")
def installed(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A ComfyUI with the unpacked archive and no other pack."""
    folder = tmp_path_factory.mktemp("registry")
    zipfile.ZipFile(packed.archive(folder)).extractall(folder / "custom_nodes" / NAME)
    paths = folder / "paths.yaml"
    paths.write_text(json.dumps({"installed": {"custom_nodes": str(folder / "custom_nodes")}}), encoding="utf-8")
    arguments = ["--extra-model-paths-config", str(paths)]
    with running_host(comfyui, None, cpu=True, memory_limit=MEMORY_LIMIT, extra_args=arguments) as host:
        yield host


async def test_every_node_registers_and_nothing_fails_to_import(installed: Host):
    async with ComfyClient(installed.url) as client:
        info = await client.object_info()
    ours = {name: node["python_module"] for name, node in info.items() if name.startswith("ICEdit")}
    assert set(workflows.node_ids()) <= set(ours) and set(ours.values()) == {f"custom_nodes.{NAME}"}
    assert "IMPORT FAILED" not in installed.log() and "Traceback" not in installed.log()


async def test_one_lora_of_the_packs_is_offered_after_the_users_own(installed: Host):
    own = installed.base / "models" / "loras" / "zebra.safetensors"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.touch()
    try:
        async with ComfyClient(installed.url) as client:
            offered = (await client.object_info())["ICEditLoadLoRA"]["input"]["required"]["lora_name"]
    finally:
        own.unlink()
    names = offered[1]["options"] if offered[0] == "COMBO" else offered[0]
    assert names[-2:] == [own.name, "icedit_demo/icedit_demo_moe_lora.safetensors"]
    assert [name for name in names if name.startswith("icedit_demo/")] == names[-1:]


async def test_the_demo_edits_a_picture(installed: Host):
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=1)
    async with ComfyClient(installed.url) as client:
        picture = await graphs.picture(client, await client.run(graph, timeout=120))
    assert picture.std() > 10


async def test_templates_help_languages_and_scripts_are_served(installed: Host):
    async with ComfyClient(installed.url) as client:
        shipped = {file.stem for file in (graphs.ROOT / "workflows").glob("*.json")}
        assert set((await client.get_json("/workflow_templates"))[NAME]) == shipped
        assert "ICEditPrompt" in (await client.get_json("/i18n"))["zh"]["nodeDefs"]
    async with aiohttp.ClientSession(installed.url) as session:
        for name in ("docs/ICEditPrompt.md", "docs/ICEditPrompt/zh.md", "js/judge_person.js"):
            assert (await session.get(f"/extensions/{NAME}/{name}")).status == 200, name
        assert (await session.get(f"/api/workflow_templates/{NAME}/icedit_demo.jpg")).status == 200
