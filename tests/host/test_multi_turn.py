"""Edits one after the other: pixels that no turn edited are the source's, bit for bit, on the real server."""

import io

import numpy as np
import pytest
from PIL import Image

from devtools import workflows
from devtools.api_form import api_graph
from devtools.compare import change_shown

from . import graphs
from .test_filter_workflows import with_small_encoders
from .test_workflows import adapter_file, small_picture  # noqa: F401 - a fixture

WORDS = ("color the green circle orange", "remove the pink square", "add a cyan triangle to the bottom left")


def turns(graph):
    """The numbers of the ICEditRestore of every turn, in order."""
    return [number for number, node in graph.items() if node["class_type"] == "ICEditRestore"]


def watched(graph, keep):
    """The graph with every turn's picture and change mask saved, and the source."""
    (scene,) = [number for number, node in graph.items() if node["class_type"] == "ICEditDemoScene"]
    seen = {"source": [scene, 0]}
    for turn, number in enumerate(turns(graph), 1):
        graph[number]["inputs"]["keep_unedited"] = keep
        graph = graph | change_shown(number)
        seen[f"after {turn}"] = [number, 0]
    return graph | {name: {"class_type": "PreviewImage", "inputs": {"images": link}} for name, link in seen.items()}


async def pictures(client, graph, keep):
    shown_by = {"source": "source"}
    for turn, number in enumerate(turns(graph), 1):
        shown_by |= {f"after {turn}": f"after {turn}", f"change {turn}": f"change {number}"}
    result = await client.run(watched(graph, keep), timeout=300)
    shown = {}
    for name, node in shown_by.items():
        data = await client.download(result.images(node)[0])
        shown[name] = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return shown


async def test_three_turns_leave_unedited_pixels_as_they_were_to_the_bit(client):
    seen = await pictures(client, graphs.shipped("icedit_multi_turn_demo"), "auto")
    untouched = np.ones(seen["source"].shape[:2], bool)
    for turn in (1, 2, 3):
        changed = (seen[f"change {turn}"] > 0).any(-1)
        before = seen[f"after {turn - 1}"] if turn > 1 else seen["source"]
        assert 0.005 < changed.mean() < 0.9, "each turn edits something, and not everything"
        assert (seen[f"after {turn}"] == before)[~changed].all()
        assert (seen[f"after {turn}"] != before)[changed].any()
        untouched &= ~changed
    assert untouched.mean() > 0.1
    assert (seen["after 3"] == seen["source"])[untouched].all()
    worn = await pictures(client, graphs.shipped("icedit_multi_turn_demo"), "off")
    assert (worn["after 3"] != worn["source"])[untouched].any(-1).mean() > 0.5, "without restoring most of it differs"


async def test_every_turn_has_its_own_words_and_starts_from_the_picture_before(client):
    graph = api_graph(workflows.demo_turns(WORDS), await client.object_info())
    prompts = [number for number, node in graph.items() if node["class_type"] == "ICEditPrompt"]
    assert tuple(graph[number]["inputs"]["instruction"] for number in prompts) == WORDS
    sources = [node["inputs"]["image"] for node in graph.values() if node["class_type"] == "ICEditDiptych"]
    restored = turns(graph)
    assert [source[0] for source in sources[1:]] == restored[:-1]
    assert graph[sources[0][0]]["class_type"] == "ICEditDemoScene"


@pytest.fixture
def published_files(server, adapter_file):  # noqa: F811
    with graphs.small_files(server, {f"loras/{workflows.MOE_LORA}": adapter_file}):
        yield


async def test_the_flux_workflow_validates_unchanged_and_runs_on_small_files(client, published_files):
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped("icedit_multi_turn"), "LoadImage", image=picture.widget)
    await client.cancel(await client.queue(graph))
    for node in graph.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = 2
    result = await client.run(with_small_encoders(graph), timeout=300)
    assert (await graphs.picture(client, result)).shape == (33, 260, 3)
