"""The blueprints: the host serves them, and the boxes run on small files as the nodes they open up into."""

import json
import urllib.request

import pytest

from devtools import workflows
from devtools.api_form import api_graph
from devtools.graph import Link, Node, Workflow

from . import graphs
from .test_filter_workflows import with_small_encoders
from .test_rank import judge_server, says_two
from .test_workflows import adapter_file, small_picture  # noqa: F401 - a fixture

FEW = {"steps": 3, "width": 64}
BOXES = {box.name: box for box in workflows.blueprints(workflows.INSTRUCTION)}


def served(url, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/{path}", timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def published_files(server, adapter_file):  # noqa: F811
    with graphs.small_files(server, {f"loras/{workflows.MOE_LORA}": adapter_file}):
        yield


def used(name, info, **inputs):
    """The API form of a canvas with a picture, one box and what saves its first output."""
    nodes = {
        "image": Node("LoadImage", {"image": "example.png"}),
        "box": Node(name, {"image": Link("image"), **inputs}),
        "save": Node("SaveImage", {"images": Link("box"), "filename_prefix": "box"}),
    }
    if "judge" in inputs:
        nodes["judge"] = Node("ICEditJudgePerson")
    return api_graph(Workflow(nodes, (), {name: BOXES[name]}), info)


async def test_the_host_serves_every_blueprint_as_it_lies_in_the_folder(server):
    entries = served(server.url, "global_subgraphs")
    ours = {entry["name"]: number for number, entry in entries.items() if entry["source"] == "custom_node"}
    assert set(ours) == set(BOXES)
    for name, number in ours.items():
        text = served(server.url, f"global_subgraphs/{number}")["data"]
        assert text == (graphs.ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8")


async def test_the_edit_box_validates_unchanged_and_runs_on_small_files(client, published_files):
    await client.upload_image(small_picture(), "example.png", overwrite=True)
    info = await client.object_info()
    await client.cancel(await client.queue(used("ICEdit", info)))
    graph = with_small_encoders(used("ICEdit", info, instruction="make the red circle blue", **FEW))
    result = await client.run(graph, timeout=120)
    assert (await graphs.picture(client, result)).shape == (33, 260, 3)
    said = result.text(graphs.find(graph, "ICEditPrompt"))
    assert said.endswith("the same as on the left but make the red circle blue")
    assert "6 routed layers of 4 experts" in result.text(graphs.find(graph, "ICEditLoadLoRA"))


async def test_the_best_of_n_box_runs_with_any_judge(client, published_files):
    await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = used("ICEdit best of N", await client.object_info(), judge=Link("judge"), count=2, early_steps=1, **FEW)
    await client.cancel(await client.queue(graph))
    async with judge_server(says_two) as (url, calls):
        settings = {"url": url, "model": "tiny", "key_variable": "", "timeout": 20.0, "retries": 0, "parallel": 4}
        graph[graphs.find(graph, "ICEditJudgePerson")] |= {"class_type": "ICEditJudgeServer", "inputs": settings}
        result = await client.run(with_small_encoders(graph), timeout=120)
    assert len(calls) == 2, "one pair in both orders"
    assert workflows.INSTRUCTION in calls[0]["messages"][0]["content"][-1]["text"]
    assert (await graphs.picture(client, result)).shape == (33, 260, 3)
