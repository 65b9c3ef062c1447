"""Samplers and schedulers of a pack that loads after ours and binds KSampler's lists anew: they are ours too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devtools.server import MEMORY_LIMIT, Host, running_host
from icedit_core.client import ComfyClient

from . import graphs
from .test_best_of import box
from .test_rank import judge_server, says_two

PACK = Path(__file__).parent / "packs" / "late_samplers"
LATE = {"sampler_name": "late_euler", "scheduler": "late_simple"}


@pytest.fixture(scope="module")
def host(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A ComfyUI with our pack, and the other one in a folder that it reads afterwards."""
    folder = tmp_path_factory.mktemp("late")
    shutil.copytree(PACK, folder / PACK.name)
    paths = folder / "paths.yaml"
    paths.write_text(json.dumps({"late": {"custom_nodes": str(folder)}}), encoding="utf-8")
    arguments = ["--extra-model-paths-config", str(paths)]
    with running_host(comfyui, graphs.ROOT, cpu=True, memory_limit=MEMORY_LIMIT, extra_args=arguments) as running:
        yield running


def options(spec) -> list[str]:
    """The values of a list input, in either form that the host gives it."""
    return spec[0] if isinstance(spec[0], list) else (spec[1:] or [{}])[0].get("options") or []


def with_candidates(graph: dict, **inputs) -> dict:
    """The graph with candidates in its KSampler's place, the first of them finished."""
    number = graphs.find(graph, "KSampler")
    sample = {name: value for name, value in graph[number]["inputs"].items() if name != "denoise"}
    sample |= {"count": 1, "early_steps": 1, "batch": 1} | inputs
    graph["candidates"] = {"class_type": "ICEditCandidates", "inputs": sample}
    finish = {"candidates": ["candidates", 0], "index": 0, "restart": False}
    graph[number] = {"class_type": "ICEditFinish", "inputs": finish}
    return graph


async def test_every_list_of_ours_is_ksamplers(host: Host):
    async with ComfyClient(host.url) as client:
        info = await client.object_info()
    stock = info["KSampler"]["input"]["required"]
    assert all(LATE[name] in options(stock[name]) for name in LATE)
    ours = {
        (node, name): options(spec)
        for node, about in info.items()
        if node.startswith("ICEdit")
        for group in ("required", "optional")
        for name, spec in about["input"].get(group, {}).items()
        if {"euler_ancestral", "simple"} & set(options(spec))
    }
    own = {("ICEditDirectEdit", "schedule"): "published", ("ICEditDiptychFromNoise", "schedule"): "flux"}
    with_own = {name: ours.pop(name) for name in own}
    expected = {(node, name) for node in ("ICEditCandidates", "ICEditBestOf", "ICEditRetry") for name in LATE}
    assert set(ours) == expected
    assert all(values == options(stock[name]) for (_, name), values in ours.items())
    assert with_own == {name: [first, *options(stock["scheduler"])] for name, first in own.items()}


async def test_they_sample_as_ksampler_does_set_by_hand_or_linked(host: Host):
    demo = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=2, **LATE)
    linked = graphs.shipped("icedit_demo")
    linked["select"] = {"class_type": "LateSelect", "inputs": {"sampler": "late_euler", "scheduler": "late_simple"}}
    links = {"sampler_name": ["select", 0], "scheduler": ["select", 1], "steps": 2}
    async with ComfyClient(host.url) as client:
        expected = await graphs.picture(client, await client.run(demo, timeout=120))
        for graph in (
            with_candidates(graphs.shipped("icedit_demo"), steps=2, **LATE),
            with_candidates(linked, **links),
        ):
            assert np.array_equal(await graphs.picture(client, await client.run(graph, timeout=120)), expected)


async def test_best_of_takes_them(host: Host):
    async with judge_server(says_two) as (url, _), ComfyClient(host.url) as client:
        result = await client.run(box(url, seed=3, count=2, **LATE), timeout=120)
        assert (await graphs.picture(client, result)).std() > 10
