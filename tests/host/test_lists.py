"""Lists of pictures through judges: element i of every list belongs to element i of the others."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from icedit_core.client import ExecutionFailed

from . import graphs
from .test_best_of import box
from .test_rank import filter_graph, judge_server


def shade(body, place):
    """How bright a picture of a question is."""
    url = body["messages"][0]["content"][place]["image_url"]["url"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))).mean()


def words(body):
    return body["messages"][0]["content"][-1]["text"]


async def prefers_light(number, body):
    return "1" if shade(body, 1) >= shade(body, 2) else "2"


def plain(*levels):
    """A node for each grey level."""
    size = {"width": 64, "height": 64, "batch_size": 1}
    return {f"g{level}": {"class_type": "EmptyImage", "inputs": size | {"color": level * 0x010101}} for level in levels}


def joined(kind, name, links):
    return {"class_type": kind, "inputs": {f"{name}{index}": link for index, link in enumerate(links)}}


def batch(*links):
    return joined("BatchImagesNode", "images.image", links)


def listed(*links):
    return joined("CreateList", "inputs.input", links)


def texts(*values):
    return {
        f"t{index}": {"class_type": "PrimitiveString", "inputs": {"value": one}} for index, one in enumerate(values)
    }


def judge(url):
    settings = {"url": url, "model": "light", "timeout": 30.0, "retries": 0, "parallel": 4}
    return {"class_type": "ICEditJudgeServer", "inputs": settings}


def two_sources(url, instruction):
    """Two sources as a list, each with its own three edits; A's lightest is its second, B's is its first."""
    graph = plain(16, 32, 48, 240, 49, 224, 50, 51) | texts("dye it", "burn it")
    graph |= {"sources": listed(["g16", 0], ["g32", 0]), "words": listed(["t0", 0], ["t1", 0])}
    graph |= {"a": batch(*([f"g{one}", 0] for one in (48, 240, 49)))}
    graph |= {"b": batch(*([f"g{one}", 0] for one in (224, 50, 51)))}
    graph |= {"edits": listed(["a", 0], ["b", 0]), "judge": judge(url)}
    inputs = {"source": ["sources", 0], "candidates": ["edits", 0], "instruction": instruction, "judge": ["judge", 0]}
    graph["rank"] = {"class_type": "ICEditRank", "inputs": inputs | {"method": "knockout", "both_orders": False}}
    graph["save"] = {"class_type": "SaveImage", "inputs": {"images": ["rank", 0], "filename_prefix": "best"}}
    return graph


async def saved(client, result):
    pictures = [await client.download(one) for one in result.images("save")]
    return [int(np.asarray(Image.open(io.BytesIO(data)).convert("L")).mean()) for data in pictures]


async def test_each_source_of_a_list_is_ranked_with_its_own_edits_and_words(client):
    async with judge_server(prefers_light) as (url, calls):
        result = await client.run(two_sources(url, ["words", 0]), timeout=60)
    assert await saved(client, result) == [240, 224]
    asked = {(round(shade(body, 0)), "dye it" in words(body), "burn it" in words(body)) for body in calls}
    assert asked == {(16, True, False), (32, False, True)}
    (report,) = result.outputs["rank"]["text"]
    assert report.count("best is candidate 1") == 1 and report.count("best is candidate 0") == 1


async def test_one_instruction_is_for_all(client):
    async with judge_server(prefers_light) as (url, calls):
        await client.run(two_sources(url, "make it light"), timeout=60)
    assert len(calls) == 4 and all("make it light" in words(body) for body in calls)


async def test_lists_that_do_not_fit_are_refused_before_a_question(client):
    async with judge_server(prefers_light) as (url, calls):
        graph = two_sources(url, "x")
        graph["edits"] = listed(["a", 0], ["b", 0], ["a", 0])
        with pytest.raises(ExecutionFailed, match="a list of 3 candidates for a list of 2 sources"):
            await client.run(graph, timeout=60)
        graph = two_sources(url, ["words", 0])
        graph |= {"t2": graph["t1"], "words": listed(["t0", 0], ["t1", 0], ["t2", 0])}
        with pytest.raises(ExecutionFailed, match="3 instructions for a list of 2 sources"):
            await client.run(graph, timeout=60)
    assert not calls


def scenes(graph):
    """The demo's scene twice, as a list, with two instructions."""
    scene = graphs.find(graph, "ICEditDemoScene")
    graph["scene_b"] = {"class_type": "ICEditDemoScene", "inputs": dict(graph[scene]["inputs"])}
    graph["scene_b"]["inputs"]["seed"] = graph[scene]["inputs"]["seed"] + 1
    graph |= {"scenes": listed([scene, 0], ["scene_b", 0])} | texts("dye it", "burn it")
    graph["words"] = listed(["t0", 0], ["t1", 0])
    for name, node in graph.items():
        for key, value in node["inputs"].items():
            if value == [scene, 0] and name != "scenes":
                node["inputs"][key] = ["scenes", 0]
    return graph


async def finished(client, graph, seeds, result):
    """Whether the pictures of a list are a KSampler's for these seeds."""
    pictures = [await client.download(one) for one in result.images(graphs.find(graph, "SaveImage"))]
    for place, (seed, data) in enumerate(zip(seeds, pictures, strict=True)):
        stock = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", seed=seed, steps=4)
        stock[graphs.find(stock, "ICEditDemoScene")]["inputs"]["seed"] += place
        alone = await graphs.picture(client, await client.run(stock, timeout=200))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), alone), place


async def second_for_the_second(number, body):
    """Keeps candidate 0 of the first instruction, takes the last of the second."""
    return "2" if "burn it" in words(body) else "1"


async def test_a_list_goes_through_candidates_rank_and_finish(client):
    async with judge_server(second_for_the_second) as (url, _):
        graph = scenes(filter_graph(url, seed=810))
        graph["rank"]["inputs"]["instruction"] = ["words", 0]
        result = await client.run(graph, timeout=200)
    await finished(client, graph, (810, 812), result)


async def test_a_list_goes_through_the_box(client):
    async with judge_server(second_for_the_second) as (url, _):
        graph = scenes(box(url, seed=820, instruction=["words", 0]))
        result = await client.run(graph, timeout=200)
    await finished(client, graph, (820, 822), result)
    assert len(result.images("sheet")) == 2


async def test_a_list_stops_where_all_are_good_enough(client):
    async def scores(number, body):
        return json.dumps({"score": [9, 9] if "burn it" not in words(body) else [4, 4], "reasoning": "x"})

    async with judge_server(scores) as (url, _):
        options = {"instruction": ["words", 0], "method": "score", "good_enough": 8.0, "count": 2}
        graph = scenes(box(url, seed=830, **options))
        result = await client.run(graph, timeout=300)
    await finished(client, graph, (830, 830), result)
