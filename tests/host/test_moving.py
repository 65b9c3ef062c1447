"""Workflows of the official pack's shape move over: the host replaces its nodes by ours, and they run."""

import json
import urllib.request

import numpy as np
import pytest

from icedit_core.client import PromptRejected

from . import graphs
from .test_filter_workflows import with_small_encoders
from .test_workflows import small_picture

SHAPE = graphs.ROOT / "tests" / "fixtures" / "official_shape.json"
OLD = {  # the official pack's inputs, and its widgets among them
    "InContextEditInstruction": ({"editText", "clip"}, ["editText"]),
    "DiptychCreate": ({"image", "image_input"}, ["image"]),
    "ICEFConditioning": ({"In_context", "negative", "vae", "diptych", "maskDiptych"}, None),
}
WIDGETS = {
    "LoadImage": ["image"],
    "InContextEditInstruction": ["editText"],
    "DiptychCreate": ["image"],
    "UNETLoader": ["unet_name", "weight_dtype"],
    "DualCLIPLoader": ["clip_name1", "clip_name2", "type", "device"],
    "VAELoader": ["vae_name"],
    "FluxGuidance": ["guidance"],
    "KSampler": ["seed", "control", "steps", "cfg", "sampler_name", "scheduler", "denoise"],
    "ImageCrop": ["width", "height", "x", "y"],
    "SaveImage": ["filename_prefix"],
}


@pytest.fixture
def table(server):
    """What the host tells the front end."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{server.url}/node_replacements", timeout=30) as answer:
        told = json.load(answer)
    return {old: told[old][0] for old in OLD}


@pytest.fixture
def small_files(server):
    with graphs.small_files(server):
        yield


def official():
    """The fixture in API form, with the official pack's own node types."""
    canvas = json.loads(SHAPE.read_text(encoding="utf-8"))
    links = {link[0]: [str(link[1]), link[2]] for link in canvas["links"]}
    graph = {}
    for node in canvas["nodes"]:
        inputs = dict(zip(WIDGETS.get(node["type"], []), node["widgets_values"], strict=False))
        inputs.pop("control", None)
        inputs |= {socket["name"]: links[socket["link"]] for socket in node["inputs"]}
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": node["type"]}}
    return graph


def on_the_canvas(graph, table):
    """The diptych replaced as the front end does it: links and values by the table; one that is absent stays open."""
    for node in graph.values():
        if node["class_type"] == "DiptychCreate":
            rule = table["DiptychCreate"]
            old = node["inputs"]
            node["class_type"] = rule["new_node_id"]
            node["inputs"] = {
                entry["new_id"]: entry["set_value"] if "set_value" in entry else old[entry["old_id"]]
                for entry in rule["input_mapping"]
                if entry["new_id"] != "icedit_pictures" and ("set_value" in entry or entry["old_id"] in old)
            }
    return graph


async def test_every_rule_maps_inputs_that_the_old_and_the_new_node_have(client, table):
    info = await client.object_info()
    for old, rule in table.items():
        inputs, widgets = OLD[old]
        new = info[rule["new_node_id"]]["input"]
        known = {**new["required"], **new.get("optional", {})}
        assert old not in info and rule["old_widget_ids"] == widgets
        panels = {entry["new_id"] for entry in rule["input_mapping"]} - set(known)
        assert panels == ({"icedit_pictures"} if old == "DiptychCreate" else set()), (
            "what web/js/moving.js carries over"
        )
        assert {entry["old_id"] for entry in rule["input_mapping"] if "old_id" in entry} <= inputs
        given = {entry["new_id"] for entry in rule["input_mapping"]}
        assert set(new["required"]) <= given, "everything that has to be there comes from the old node"


async def test_a_workflow_of_the_official_shape_runs_with_our_nodes(client, table, small_files):
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = on_the_canvas(official(), table)
    graph = graphs.changed(graphs.changed(graph, "LoadImage", image=picture.widget), "KSampler", steps=2)
    graph = with_small_encoders(graph)
    result = await client.run(graph, timeout=120)
    assert (await graphs.picture(client, result)).shape == (64, 512, 3), "the right panel, as the old graph crops it"
    words = result.text(graphs.find(graph, "InContextEditInstruction"))
    assert words.endswith("exactly the same as on the left but make her hair dark green")


def with_old_nodes(graph):
    """A graph of ours with the official pack's prompt and conditioning."""
    old = json.loads(json.dumps(graph))
    prompt, condition = (graphs.find(graph, kind) for kind in ("ICEditPrompt", "InpaintModelConditioning"))
    words, inputs = graph[prompt]["inputs"], graph[condition]["inputs"]
    old[prompt]["class_type"], old[condition]["class_type"] = "InContextEditInstruction", "ICEFConditioning"
    old[prompt]["inputs"] = {"clip": words["clip"], "editText": words["instruction"]}
    old[condition]["inputs"] = {"In_context": inputs["positive"], "negative": inputs["negative"], "vae": inputs["vae"]}
    old[condition]["inputs"] |= {"diptych": inputs["pixels"], "maskDiptych": inputs["mask"]}
    return old


def renumbered(graph, first):
    """The same graph with other numbers."""
    numbers = {number: str(first + int(number)) for number in graph}
    moved = json.loads(json.dumps(graph))
    for node in moved.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                node["inputs"][name] = [numbers[value[0]], value[1]]
    return {numbers[number]: node for number, node in moved.items()}


async def test_replaced_on_the_server_the_picture_is_that_of_our_own_nodes(client):
    ours = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=4)
    expected = await graphs.picture(client, await client.run(ours, timeout=120))
    await client.free()
    result = await client.run(with_old_nodes(ours), timeout=120)
    assert np.array_equal(await graphs.picture(client, result), expected)


async def test_the_order_in_which_the_server_replaces_does_not_matter(client):
    """It goes through a set of numbers, so that other numbers are another order."""
    graph = with_old_nodes(graphs.shipped("icedit_demo"))
    for first in range(0, 800, 100):
        await client.cancel(await client.queue(renumbered(graph, first)))


def as_programs_write(graph):
    for node in graph.values():
        node.pop("_meta", None)
    return graph


@pytest.mark.parametrize("picture", ["linked", "a file", "a link in the widget's place"])
async def test_a_posted_diptych_brings_its_picture(client, small_files, picture):
    uploaded = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = as_programs_write(graphs.changed(official(), "LoadImage", image=uploaded.widget))
    old = graph[graphs.find(graph, "DiptychCreate")]["inputs"]
    if picture == "a file":
        old["image"] = uploaded.widget
        del old["image_input"]
    elif picture == "a link in the widget's place":
        old["image"] = old.pop("image_input")
    graph = with_small_encoders(graphs.changed(graph, "KSampler", steps=1))
    assert (await graphs.picture(client, await client.run(graph, timeout=120))).shape == (64, 512, 3)


@pytest.mark.parametrize("missing", [("ICEFConditioning", "negative"), ("InContextEditInstruction", "clip")])
async def test_what_a_posted_prompt_lacks_is_named(client, small_files, missing):
    await client.upload_image(small_picture(), "example.png", overwrite=True)
    kind, name = missing
    graph = as_programs_write(official())
    del graph[graphs.find(graph, kind)]["inputs"][name]
    with pytest.raises(PromptRejected, match=f"Required input is missing.*{name}"):
        await client.queue(graph)


async def test_a_posted_diptych_without_any_picture_is_refused_in_words(client, small_files):
    graph = official()
    old = graph[graphs.find(graph, "DiptychCreate")]["inputs"]
    old.pop("image_input"), old.pop("image", None)
    with pytest.raises(PromptRejected, match="Required input is missing.*image"):
        await client.queue(graph)
