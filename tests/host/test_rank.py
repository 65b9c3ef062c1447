"""Ranking in a real graph, against a recording judge server, and the winner finished."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web

from icedit_core.client import ExecutionFailed, ExecutionInterrupted

from . import graphs


@asynccontextmanager
async def judge_server(answer):
    """An OpenAI-compatible server; `answer(number of the call, body)` gives the text or a web response."""
    calls = []

    async def handler(request):
        calls.append(await request.json())
        reply = await answer(len(calls), calls[-1])
        if isinstance(reply, web.Response):
            return reply
        return web.json_response({"choices": [{"message": {"content": reply}}]})

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1", calls
    finally:
        await runner.cleanup()


async def says_two(number, body):
    return "2"


async def is_busy(number, body):
    return web.Response(status=500, text="out of memory")


async def never(number, body):
    await asyncio.sleep(120)


def filter_graph(url, seed=0, count=3):
    """The demo workflow with its sampler replaced by candidates, a judge and the winner's finish."""
    graph = graphs.shipped("icedit_demo")
    sample = graph.pop(graphs.find(graph, "KSampler"))["inputs"]
    decode, restore = (graphs.find(graph, kind) for kind in ("VAEDecode", "ICEditRestore"))
    vae = graph[decode]["inputs"]["vae"]
    keep = {name: sample[name] for name in ("model", "positive", "negative", "latent_image", "cfg")}
    plan = {"seed": seed, "count": count, "steps": 4, "early_steps": 2, "sampler_name": "euler", "scheduler": "simple"}
    graph["candidates"] = {"class_type": "ICEditCandidates", "inputs": keep | plan | {"batch": 1}}
    graph["previews"] = {"class_type": "VAEDecode", "inputs": {"samples": ["candidates", 1], "vae": vae}}
    graph["panels"] = {
        "class_type": "ICEditRestore",
        "inputs": graph[restore]["inputs"] | {"images": ["previews", 0]},
    }
    source = graph[graphs.find(graph, "ICEditDiptych")]["inputs"]["image"]
    graph["judge"] = {
        "class_type": "ICEditJudgeServer",
        "inputs": {"url": url, "model": "tiny", "timeout": 5.0, "retries": 0, "parallel": 4},
    }
    graph["rank"] = {
        "class_type": "ICEditRank",
        "inputs": {
            "source": source,
            "candidates": ["panels", 0],
            "instruction": graph[graphs.find(graph, "ICEditPrompt")]["inputs"]["instruction"],
            "judge": ["judge", 0],
            "method": "knockout",
            "both_orders": False,
        },
    }
    graph["finish"] = {
        "class_type": "ICEditFinish",
        "inputs": {"candidates": ["candidates", 0], "index": 0, "ranking": ["rank", 1], "restart": False},
    }
    graph["sheet"] = {"class_type": "PreviewImage", "inputs": {"images": ["rank", 4]}}
    graph[decode]["inputs"]["samples"] = ["finish", 0]
    return graph


async def test_the_judges_choice_is_finished_as_a_ksampler_would(client):
    async with judge_server(says_two) as (url, calls):
        result = await client.run(filter_graph(url, seed=20), timeout=200)
    assert len(calls) == 2 and len(calls[0]["messages"][0]["content"]) == 4
    report = result.text("rank")
    assert "best is candidate 2 (knockout)" in report and "2 questions to tiny at" in report
    assert "candidate 2 (seed 22): 8 sampler steps" in result.text("finish")
    assert result.images("sheet")
    stock = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", seed=22, steps=4)
    expected = await graphs.picture(client, await client.run(stock, timeout=200))
    assert np.array_equal(await graphs.picture(client, result), expected)


async def test_a_failed_judge_keeps_the_candidates_and_remembers_its_answers(client):
    async def fails_then_works(number, body):
        return "1" if number != 2 else web.Response(status=500, text="out of memory")

    async with judge_server(fails_then_works) as (url, calls):
        graph = filter_graph(url, seed=30)
        with pytest.raises(ExecutionFailed, match="answered 500: out of memory.*the candidates are kept") as caught:
            await client.run(graph, timeout=200)
        assert caught.value.node_type == "ICEditRank" and len(calls) == 2
        result = await client.run(graph, timeout=200)
    assert {"candidates", "previews", "panels"} <= result.cached
    assert len(calls) == 3, "the first verdict was remembered"
    assert "best is candidate 0" in result.text("rank")


async def drips(number, body):
    """Begins an answer and never ends it."""

    class Dripping(web.Response):
        async def prepare(self, request):
            reply = web.StreamResponse(headers={"Content-Length": "1000"})
            await reply.prepare(request)
            await reply.write(b'{"choices": [')
            await asyncio.sleep(120)

    return Dripping()


@pytest.mark.parametrize("fault", [never, is_busy, drips], ids=["silent", "between two tries", "half an answer"])
async def test_a_waiting_judge_is_cancelled_within_a_second(client, fault):
    async with judge_server(fault) as (url, calls):
        graph = filter_graph(url, seed=40)
        graph["judge"]["inputs"] |= {"retries": 10, "timeout": 60.0}
        running = asyncio.ensure_future(client.run(graph, timeout=200))
        while not calls:
            assert not running.done(), running
            await asyncio.sleep(0.05)
        pressed = time.monotonic()
        await client.interrupt()
        with pytest.raises(ExecutionInterrupted, match="ICEditRank"):
            await running
        assert time.monotonic() - pressed < 1.5, "a second, and what the machine takes for itself"


async def test_a_judge_elsewhere_is_refused_by_the_node(client):
    graph = filter_graph("http://judge.example.com/v1", seed=50)
    with pytest.raises(ExecutionFailed, match="judge.example.com is not this machine.*ICEDIT_JUDGE_HOSTS"):
        await client.run(graph, timeout=200)


async def test_edits_of_several_sizes_come_as_a_list(client):
    """Candidates of any editor: two pictures of different sizes, joined by nothing but a list."""
    graph = {
        "source": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 0}},
        "a": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 2, "color": 255}},
        "b": {"class_type": "EmptyImage", "inputs": {"width": 48, "height": 16, "batch_size": 1, "color": 65280}},
        "list": {"class_type": "CreateList", "inputs": {"inputs.input0": ["a", 0], "inputs.input1": ["b", 0]}},
    }
    async with judge_server(says_two) as (url, calls):
        graph["judge"] = {
            "class_type": "ICEditJudgeServer",
            "inputs": {"url": url, "model": "sizes", "timeout": 5.0, "retries": 0, "parallel": 1},
        }
        graph["rank"] = {
            "class_type": "ICEditRank",
            "inputs": {
                "source": ["source", 0],
                "candidates": ["list", 0],
                "instruction": "make it green",
                "judge": ["judge", 0],
                "method": "knockout",
                "both_orders": False,
            },
        }
        graph["save"] = {"class_type": "SaveImage", "inputs": {"images": ["rank", 0], "filename_prefix": "best"}}
        result = await client.run(graph, timeout=60)
    assert (await graphs.picture(client, result)).shape == (16, 48, 3)
    assert len(calls) == 2 and json.dumps(calls[0]).count("image_url") >= 3
