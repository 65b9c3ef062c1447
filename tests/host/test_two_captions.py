"""ICEdit Two Captions on the real server: a judge's answer becomes DirectEdit's captions and mask."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from devtools.workflows.directedit import DEMO_AFTER, DEMO_BEFORE
from icedit_core.client import ExecutionFailed

from . import graphs
from .test_rank import judge_server

NODE = "ICEditTwoCaptions"
SAID = {"source": DEMO_BEFORE, "target": DEMO_AFTER, "type": "background", "box": [0, 0, 500, 1000]}


def graph_of(url):
    """The demo's edit by two captions, with a judge in the place of a person who types them."""
    graph = graphs.changed(graphs.shipped("directedit_demo"), "ICEditDirectEdit", steps=2)
    inputs = {"url": url, "model": "tiny", "timeout": 3.0, "retries": 0, "parallel": 1}
    graph["judge"] = {"class_type": "ICEditJudgeServer", "inputs": inputs}
    seen = [graphs.find(graph, "ImageScale"), 0]
    asked = {"image": seen, "instruction": "make the background white", "judge": ["judge", 0]}
    graph["captions"] = {"class_type": NODE, "inputs": asked}
    for node in graph.values():
        if node["class_type"] == "CLIPTextEncode":
            node["inputs"]["text"] = ["captions", 0 if node["inputs"]["text"] == DEMO_BEFORE else 1]
    edit = graph[graphs.find(graph, "ICEditDirectEdit")]["inputs"]
    edit["mask"] = ["captions", 2]
    for name, link in (("before", seen), ("edit", [graphs.find(graph, "VAEDecode"), 0])):
        graph[name] = {"class_type": "PreviewImage", "inputs": {"images": link}}
    return graph


async def test_a_judge_gives_what_directedit_needs(client):
    async def answers(number, body):
        return json.dumps(SAID)

    async with judge_server(answers) as (url, calls):
        result = await client.run(graph_of(url), timeout=300)
    assert len(calls) == 1
    text = result.text("captions")
    assert f"source: {DEMO_BEFORE}" in text and "The mask is all but the box from 0 %, 0 % to 50 %, 100 %" in text
    shown = [await client.download(result.images(name)[0]) for name in ("before", "edit")]
    before, edit = (np.asarray(Image.open(io.BytesIO(one))).astype(int) for one in shown)
    change = np.abs(before - edit).mean((0, 2))  # of each column
    assert change[:32].mean() < change[64:].mean() / 2, "the left half, inside of the box, stays"


async def test_a_judge_that_gives_no_captions_is_named(client):
    async def answers(number, body):
        return "I see shapes."

    async with judge_server(answers) as (url, _):
        with pytest.raises(ExecutionFailed, match="tiny.*answered.*twice, but a JSON object") as caught:
            await client.run(graph_of(url), timeout=300)
    assert caught.value.node_type == NODE
