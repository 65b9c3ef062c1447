"""Best Of with a budget: candidates that agree cost nothing more, those that do not get more, in the real host.

Without a layout the box compares whole decoded pictures with `source`. With denoise 0.01 every seed gives the latent's
own picture: seen from a black source all make the same edit, seen from that picture none changes anything.
"""

import asyncio
import time

import numpy as np
import pytest

from icedit_core.client import ExecutionFailed, ExecutionInterrupted

from . import graphs
from .test_best_of import box, sampled, scores
from .test_rank import judge_server, never, says_two

BLACK = {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 256, "batch_size": 1, "color": 0}}


def whole(url, seed, black=True, **inputs):
    """The box on whole pictures, from a black source or from the very picture in the latent."""
    graph = box(url, seed, denoise=0.01, **{"count": 4, "budget": "adaptive"} | inputs)
    plan = graph["box"]["inputs"]
    del plan["layout"]
    graph["black"] = BLACK
    graph["same"] = {"class_type": "VAEDecode", "inputs": {"samples": plan["latent_image"], "vae": plan["vae"]}}
    plan["source"] = ["black" if black else "same", 0]
    return graph


async def test_where_two_agree_nothing_more_is_sampled_and_nothing_asked(client, server):
    before = sampled(server)
    async with judge_server(says_two) as (url, calls):
        graph = whole(url, seed=900)
        result = await client.run(graph, timeout=200)
        assert not calls and sampled(server) == before + 1
        graph["box"]["inputs"]["budget"] = "all"
        assert "Budget" not in (await client.run(graph, timeout=200)).text("report")
        assert len(calls) == 3, "the same candidates without a budget"
    report = result.text("report")
    assert "0 questions to tiny" in report and "candidate 1, score 0.00, the same edit as candidate 0" in report
    assert "Budget: 2 of 4 candidates sampled; 6 sampler steps in all, 40 % fewer than the 10 of all." in report
    stock = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", seed=900, steps=4, denoise=0.01)
    stock[graphs.find(stock, "SaveImage")]["inputs"]["images"] = [graphs.find(stock, "VAEDecode"), 0]
    edit = await graphs.picture(client, result)
    assert np.array_equal(edit, await graphs.picture(client, await client.run(stock, timeout=200)))


async def test_candidates_that_change_nothing_are_no_reason_to_stop(client, server):
    before = sampled(server)
    async with judge_server(says_two) as (url, calls):
        result = await client.run(whole(url, seed=910, black=False), timeout=200)
    assert sampled(server) == before + 3 and not calls, "two, one more, one more"
    assert "Budget: 4 of 4 candidates sampled; 10 sampler steps in all." in result.text("report")


RED, DARK_RED, BLUE = 0xFF0000, 0xD00000, 0x0000FF


def colours(graph, name, *values):
    """A batch of small pictures, each of one colour."""
    image = {"width": 32, "height": 32, "batch_size": 1}
    for index, value in enumerate(values):
        graph[f"{name}_{index}"] = {"class_type": "EmptyImage", "inputs": image | {"color": value}}
    if len(values) == 1:
        graph[name] = graph.pop(f"{name}_0")
        return
    batch = {f"images.image{index}": [f"{name}_{index}", 0] for index in range(len(values))}
    graph[name] = {"class_type": "BatchImagesNode", "inputs": batch}


@pytest.mark.parametrize(
    ("sources", "pictures", "within", "more"),
    [
        (1, (RED, RED), {}, 0),
        (1, (RED, DARK_RED), {"alike_within": 0.05}, 1),
        (1, (RED, BLUE), {}, 1),
        (2, (RED, BLUE, RED, BLUE), {}, 0),
        (2, (RED, BLUE, RED, RED), {}, 1),
    ],
    ids=["agree", "a narrow bound", "differ", "both sources agree", "one source of two differs"],
)
async def test_a_pair_that_differs_gets_one_more(client, server, sources, pictures, within, more):
    """The part of the box that decides, with pictures of our own: later candidates are sampled only when asked for."""
    graph = whole("http://127.0.0.1:9/v1", seed=920 + 10 * sources + more + len(within))
    plan = graph.pop("box")["inputs"]
    for kind in ("SaveImage", "PreviewAny", "PreviewImage", "ICEditJudgeServer"):
        graph.pop(graphs.find(graph, kind))
    names = ("model", "positive", "negative", "latent_image", "seed", "steps", "early_steps", "cfg", "batch")
    plan = {name: plan[name] for name in (*names, "sampler_name", "scheduler")} | {"count": 2}
    graph["first"] = {"class_type": "ICEditCandidates", "inputs": plan}
    graph["further"] = {"class_type": "ICEditMoreCandidates", "inputs": {"candidates": ["first", 0], "count": 1}}
    for name, values in (("source", (0,) * sources), ("pictures", pictures), ("later", pictures * 2)):
        colours(graph, name, *values)
    now = {"candidates": ["first", 0], "pictures": ["pictures", 0]}
    later = {"later_candidates": ["further", 0], "later_pictures": ["later", 0]}
    graph["agreed"] = {"class_type": "ICEditAgreed", "inputs": {"source": ["source", 0]} | within | now | later}
    graph["shown"] = {"class_type": "PreviewImage", "inputs": {"images": ["agreed", 1]}}
    before = sampled(server)
    result = await client.run(graph, timeout=200)
    assert sampled(server) == before + 1 + more
    assert len(result.images("shown")) == (1 + more) * len(pictures)


async def test_an_edit_that_was_scored_is_not_asked_about_again(client, server):
    before = sampled(server)
    async with judge_server(scores(3)) as (url, calls):
        graph = whole(url, seed=940, method="score", good_enough=8.0, count=3)
        result = await client.run(graph, timeout=200)
    assert len(calls) == 2 and sampled(server) == before + 3
    assert "2. candidate 1, score 3.00, the same edit as candidate 0" in result.text("report")
    assert "Budget: 3 of 3 candidates sampled" in result.text("report")


async def test_cancelling_the_judge_keeps_what_was_sampled(client, server):
    before = sampled(server)
    async with judge_server(never) as (url, calls):
        graph = whole(url, seed=950, method="score")
        graph["judge"]["inputs"]["timeout"] = 60.0
        running = asyncio.ensure_future(client.run(graph, timeout=200))
        while not calls:
            assert not running.done(), running
            await asyncio.sleep(0.05)
        pressed = time.monotonic()
        await client.interrupt()
        with pytest.raises(ExecutionInterrupted):
            await running
        assert time.monotonic() - pressed < 1.5, "a second, and what the machine takes for itself"
    async with judge_server(scores(9)) as (url, calls):
        graph["judge"]["inputs"]["url"] = url
        assert "best is candidate 0" in (await client.run(graph, timeout=200)).text("report")
    assert sampled(server) == before + 1


async def test_two_budgets_at_once_are_refused(client):
    graph = whole("http://127.0.0.1:9/v1", seed=960, drop_after=1)
    with pytest.raises(ExecutionFailed, match="budget is adaptive with drop_after 1.*Set drop_after to 0"):
        await client.run(graph, timeout=200)
