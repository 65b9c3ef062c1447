"""Rounds with new words in the real host: the words reach the sampler, the best round is finished, nothing is lost."""

import asyncio
import json
import time

import numpy as np
import pytest
from aiohttp import web

from icedit_core.client import ExecutionFailed, ExecutionInterrupted

from . import graphs
from .test_best_of import box, sampled
from .test_rank import judge_server, never

NEW = "make the circle blue"


def retry_box(url, seed, **inputs):
    """The demo workflow with ICEdit Retry for its sampler, and a Text node for its words."""
    graph = box(url, seed)
    old = graph["box"]["inputs"]
    words = graph[graphs.find(graph, "ICEditPrompt")]["inputs"]
    graph["words"] = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": old["instruction"]}}
    words["instruction"] = ["words", 0]
    kept = {name: value for name, value in old.items() if name not in ("method", "both_orders", "instruction")}
    settings = {"instruction": ["words", 0], "rounds": 3, "good_enough": 8.0, "count": 1}
    graph["box"] = {"class_type": "ICEditRetry", "inputs": kept | settings | inputs}
    graph["made_by"] = {"class_type": "PreviewAny", "inputs": {"source": ["box", 2]}}
    graph["report"]["inputs"]["source"] = ["box", 3]
    graph["sheet"]["inputs"]["images"] = ["box", 4]
    return graph


def scripted(*values, new=NEW, says=None):
    """Scores of the rounds in their order; then what is missing and new words, or what `says` gives for them."""
    seen = []

    async def answer(number, body):
        content = body["messages"][0]["content"]
        if "JSON Schema" in (content if isinstance(content, str) else content[-1]["text"]):
            if says is not None:
                return await says(number, body)
            return json.dumps({"instruction": new} if isinstance(content, str) else {"missing": "it is not blue"})
        edit = content[-2]["image_url"]["url"]
        if edit not in seen:
            seen.append(edit)
        value = values[seen.index(edit)]
        return json.dumps({"score": [value, value], "reasoning": "scripted"})

    return answer


async def is_down(number, body):
    return web.Response(status=400, text="out of memory")


async def stock(client, seed, instruction=None):
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", seed=seed, steps=4)
    if instruction:
        graph = graphs.changed(graph, "ICEditPrompt", instruction=instruction)
    return await graphs.picture(client, await client.run(graph, timeout=200))


async def test_new_words_reach_the_sampler_and_the_best_round_is_finished(client, server):
    before = sampled(server)
    async with judge_server(scripted(3, 9)) as (url, calls):
        graph = retry_box(url, seed=900)
        result = await client.run(graph, timeout=300)
        assert len(calls) == 2 + 2 + 2, "two scores a round, what is missing, new words"
        again = await client.run(graph, timeout=300)
    assert sampled(server) == before + 2 and "box" in again.cached
    report = result.text("report")
    assert "best is round 2 of 2 (VIEScore, 0 to 10)" in report and "missing: it is not blue" in report
    assert result.text("made_by") == NEW and result.images("sheet")
    edit = await graphs.picture(client, result)
    assert np.array_equal(edit, await stock(client, 901, NEW))
    assert not np.array_equal(edit, await stock(client, 901))


async def test_a_good_first_round_is_all(client, server):
    before = sampled(server)
    async with judge_server(scripted(9)) as (url, calls):
        result = await client.run(retry_box(url, seed=910), timeout=300)
    assert len(calls) == 2 and sampled(server) == before + 1
    assert "round 1 is good enough" in result.text("report")
    assert np.array_equal(await graphs.picture(client, result), await stock(client, 910))


async def test_a_worse_later_round_does_not_win_and_a_failed_one_loses_nothing(client, server):
    before = sampled(server)
    async with judge_server(scripted(6, 2, 4)) as (url, _):
        result = await client.run(retry_box(url, seed=920), timeout=300)
    assert "best is round 1 of 3" in result.text("report") and "all 3 rounds were run" in result.text("report")
    async with judge_server(scripted(6, says=is_down)) as (url, _):
        failed = await client.run(retry_box(url, seed=920), timeout=300)
    assert "round 2 was not run: " in failed.text("report") and "out of memory" in failed.text("report")
    assert sampled(server) == before + 3, "the failed run's round was sampled already"
    first = await stock(client, 920)
    for one in (result, failed):
        assert np.array_equal(await graphs.picture(client, one), first)


async def test_cancel_is_heard_within_a_second_and_keeps_what_was_sampled(client, server):
    before = sampled(server)
    async with judge_server(scripted(3, 9, says=never)) as (url, calls):
        graph = retry_box(url, seed=930)
        graph["judge"]["inputs"]["timeout"] = 60.0
        running = asyncio.ensure_future(client.run(graph, timeout=200))
        while len(calls) < 3:
            assert not running.done(), running
            await asyncio.sleep(0.05)
        pressed = time.monotonic()
        await client.interrupt()
        with pytest.raises(ExecutionInterrupted):
            await running
        assert time.monotonic() - pressed < 1.5, "a second, and what the machine takes for itself"
    async with judge_server(scripted(3, 9)) as (url, _):
        graph["judge"]["inputs"]["url"] = url
        await client.run(graph, timeout=300)
    assert sampled(server) == before + 2, "the first round was kept"


async def test_words_that_do_not_reach_the_sampler_are_refused(client):
    graph = retry_box("http://127.0.0.1:9/v1", seed=940)
    graph[graphs.find(graph, "ICEditPrompt")]["inputs"]["instruction"] = "make it red"
    with pytest.raises(ExecutionFailed, match="words of instruction do not reach positive.*Connect one Input Text"):
        await client.run(graph, timeout=100)


async def test_several_sources_are_refused_before_sampling(client, server):
    before = sampled(server)
    graph = retry_box("http://127.0.0.1:9/v1", seed=950)
    source = graph["box"]["inputs"]["source"]
    graph["two"] = {"class_type": "BatchImagesNode", "inputs": {"images.image0": source, "images.image1": source}}
    graph["box"]["inputs"]["source"] = ["two", 0]
    with pytest.raises(ExecutionFailed, match="2 sources, but the words are mended for one picture"):
        await client.run(graph, timeout=100)
    assert sampled(server) == before
