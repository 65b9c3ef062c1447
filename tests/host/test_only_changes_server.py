"""ICEdit Only What Changes in the demo's workflow on the real server: what the page is told, and a second run."""

import asyncio
import re
import uuid

import aiohttp
import numpy as np
import pytest

from icedit_core.client import ExecutionFailed, ExecutionInterrupted

from . import graphs
from .test_filter_workflows import judged_by
from .test_rank import judge_server, says_two

NODE = "ICEditOnlyWhatChanges"


def demo(seed, **inputs):
    """The demo of 16 steps with the node in front of its sampler."""
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=16, seed=seed)
    graph = graphs.changed(graph, "ICEditDemoScene", seed=0, task="recolour")
    sampler = graph[graphs.find(graph, "KSampler")]["inputs"]
    first = {"model": sampler["model"], "method": "spot", "threshold": 0.0, "grow": 1, "kept_in": "CPU memory"}
    graph["only"] = {"class_type": NODE, "inputs": first | inputs}
    sampler["model"] = ["only", 0]
    return graph


async def told(server, graph, node="only") -> tuple[list[str], list[dict]]:
    """The texts and the region pictures that a run sends to the node."""
    client_id, texts, pictures = uuid.uuid4().hex, [], []
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect(f"/ws?clientId={client_id}") as socket:
        async with session.post("/prompt", json={"prompt": graph, "client_id": client_id}) as answer:
            prompt = (await answer.json())["prompt_id"]
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                kind, length = (int.from_bytes(message.data[at : at + 4], "big") for at in (0, 4))
                if kind == 3 and message.data[8 : 8 + length].decode() == node:
                    texts.append(message.data[8 + length :].decode())
                continue
            event = message.json()
            data = event.get("data") or {}
            assert event["type"] != "execution_error", data
            if event["type"] == "icedit_region":
                pictures.append(data)
            if event["type"] == "executing" and data.get("node") is None and data.get("prompt_id") == prompt:
                return texts, pictures
    raise AssertionError("the websocket was closed")


async def test_the_page_hears_what_was_computed_and_sees_the_region(server):
    texts, pictures = await told(server, demo(1))
    assert any("of the picture's tokens computed in 16 steps, 4 of them in full" in text for text in texts), texts
    (picture,) = pictures
    assert picture["node"] == "only"
    async with (
        aiohttp.ClientSession(server.url) as session,
        session.get("/view", params=picture["pictures"][0]["picture"]) as answer,
    ):
        assert answer.status == 200 and answer.content_type == "image/png"


async def test_the_edit_is_nearly_that_of_all_tokens_also_after_a_cancel(server, client):
    """And a second queue, whose node is not run again, still computes less; bypassed, the model is what it was."""
    plain = demo(2)
    plain[graphs.find(plain, "KSampler")]["inputs"]["model"] = plain.pop("only")["inputs"]["model"]
    whole = await graphs.picture(client, await client.run(plain))
    part = await graphs.picture(client, await client.run(demo(2)))
    assert 0 < np.abs(whole.astype(float) - part.astype(float)).mean() < 6
    stopping = []

    def stop_when_it_samples(step):
        if step.node_type == "KSampler" and step.value and not stopping:
            stopping.append(asyncio.ensure_future(client.interrupt()))

    with pytest.raises(ExecutionInterrupted):
        await client.run(graphs.changed(demo(2), "KSampler", steps=1000), stop_when_it_samples)
    texts, pictures = await told(server, demo(3))
    assert pictures and texts
    await client.free()
    assert np.array_equal(await graphs.picture(client, await client.run(demo(2))), part)
    assert np.array_equal(await graphs.picture(client, await client.run(plain)), whole)


async def test_best_of_several_and_what_remains_to_save(server):
    """The counts that the notes of both workflows with Best Of name."""
    graph = graphs.shipped("icedit_only_changes_best_demo")
    async with judge_server(says_two) as (url, calls):
        judged = judged_by(graph, url, "ICEditBestOf")
        texts, pictures = await told(server, judged, graphs.find(graph, NODE))
    counts = [re.search(r"computed in (\d+) steps, (\d+) of them in full", text) for text in texts]
    assert [found.groups() for found in counts if found] == [("6", "2")] * 4 + [("22", "4")]
    assert "The steps went on from step 6" in texts[-1] and len(pictures) == 5 and calls


async def test_a_missing_decoder_is_named(client):
    with pytest.raises(ExecutionFailed, match="selector decoder, but no VAE is connected"):
        await client.run(demo(4, selector="decoder"))
