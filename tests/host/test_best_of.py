"""One box for candidates, judge and finish: its result, what a failed judge leaves behind, and stopping early."""

import asyncio
import json
import re
import time

import numpy as np
import pytest
from aiohttp import web

from icedit_core.client import ExecutionFailed, ExecutionInterrupted

from . import graphs
from .test_rank import is_busy, judge_server, never, says_two


def box(url, seed, **inputs):
    """The demo workflow with one box for its sampler, decoder and restoring."""
    graph = graphs.shipped("icedit_demo")
    sample = graph.pop(graphs.find(graph, "KSampler"))["inputs"]
    vae = graph.pop(graphs.find(graph, "VAEDecode"))["inputs"]["vae"]
    layout = graph.pop(graphs.find(graph, "ICEditRestore"))["inputs"]["layout"]
    diptych, words = (graph[graphs.find(graph, kind)]["inputs"] for kind in ("ICEditDiptych", "ICEditPrompt"))
    graph["judge"] = {
        "class_type": "ICEditJudgeServer",
        "inputs": {"url": url, "model": "tiny", "timeout": 3.0, "retries": 0, "parallel": 4},
    }
    plan = {"seed": seed, "count": 3, "steps": 4, "early_steps": 2, "sampler_name": "euler", "scheduler": "simple"}
    links = {"vae": vae, "layout": layout, "source": diptych["image"], "judge": ["judge", 0]}
    choice = {"instruction": words["instruction"], "method": "knockout", "both_orders": False, "good_enough": 0.0}
    keep = {name: sample[name] for name in ("model", "positive", "negative", "latent_image", "cfg")}
    graph["box"] = {"class_type": "ICEditBestOf", "inputs": keep | plan | {"batch": 1} | links | choice | inputs}
    graph[graphs.find(graph, "SaveImage")]["inputs"]["images"] = ["box", 1]
    graph["report"] = {"class_type": "PreviewAny", "inputs": {"source": ["box", 2]}}
    graph["sheet"] = {"class_type": "PreviewImage", "inputs": {"images": ["box", 3]}}
    return graph


def sampled(server):
    """How often candidates were sampled so far, from the host's log."""
    return len(re.findall(r"ICEdit(?:More)?Candidates: \d+ (?:more )?candidates", server.log()))


async def stock(client, seed, **inputs):
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", seed=seed, steps=4, **inputs)
    return await graphs.picture(client, await client.run(graph, timeout=200))


async def test_the_box_gives_what_its_parts_and_a_ksampler_give(client, server):
    async with judge_server(says_two) as (url, calls):
        graph = box(url, seed=120)
        result = await client.run(graph, timeout=200)
        assert len(calls) == 2
        before = sampled(server)
        again = await client.run(graph, timeout=200)
    assert "box" in again.cached and sampled(server) == before
    assert "best is candidate 2 (knockout)" in result.text("report") and result.images("sheet")
    assert "candidate 2 (seed 122): 8 sampler steps in all" in server.log()
    assert np.array_equal(await graphs.picture(client, result), await stock(client, 122))


async def test_denoise_reaches_the_sampler(client):
    async with judge_server(says_two) as (url, _):
        result = await client.run(box(url, seed=720, denoise=0.7), timeout=200)
    edit = await graphs.picture(client, result)
    assert np.array_equal(edit, await stock(client, 722, denoise=0.7))
    assert not np.array_equal(edit, await stock(client, 722))


async def test_the_edit_of_another_editor_is_put_back_onto_its_source(client):
    async with judge_server(says_two) as (url, _):
        graph = box(url, seed=120, keep_unedited=True)
        del graph["box"]["inputs"]["layout"]
        edit = await graphs.picture(client, await client.run(graph, timeout=200))
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", seed=122, steps=4)
    decode = graph[graphs.find(graph, "VAEDecode")]["inputs"]
    source = graph[graphs.find(graph, "ICEditDiptych")]["inputs"]["image"]
    widgets = {"threshold": 1.0, "grow": 0, "feather": 0, "colour": 1.0}
    graph[graphs.find(graph, "ICEditRestore")] = {
        "class_type": "ICEditKeepUnedited",
        "inputs": widgets | {"source": source, "edit": [graphs.find(graph, "VAEDecode"), 0], "vae": decode["vae"]},
    }
    assert edit.shape == (256, 256, 3), "the scene's size, not the diptych's"
    assert np.array_equal(edit, await graphs.picture(client, await client.run(graph, timeout=200)))


class BreaksOff(web.Response):
    """Headers, and then nothing more."""

    async def prepare(self, request):
        writer = await super().prepare(request)
        request.transport.close()
        return writer


async def breaks_off(number, body):
    return BreaksOff(text="{" * 500)


FAULTS = {
    "busy": (is_busy, "answered 500: out of memory"),
    "silent": (never, "gave no answer within 3 s"),
    "closing": (breaks_off, "cannot be reached or broke off"),
    "garbage": (lambda *_: _text("<html>"), "no chat completion"),
    "half": (lambda *_: _text('{"choices": [{"mess'), "no chat completion"),
    "no pictures": (lambda *_: _text("image input is not supported", 400), "refused with 400: image input"),
}


async def _text(text, status=200):
    return web.Response(text=text, status=status)


async def test_no_fault_of_a_judge_costs_what_was_sampled(client, server):
    """Every fault ends in an error with a remedy; the queued-again graph asks the judge and samples nothing."""
    state = {}

    async def answer(number, body):
        return await state["now"](number, body)

    before = sampled(server)
    async with judge_server(answer) as (url, calls):
        graph = box(url, seed=130)
        for name, (fault, words) in FAULTS.items():
            state["now"] = fault
            with pytest.raises(ExecutionFailed, match=f"(?s){words}.*the candidates are kept") as caught:
                await client.run(graph, timeout=200)
            assert caught.value.node_id == "box", name
            assert sampled(server) == before + 1, name
        state["now"] = says_two
        result = await client.run(graph, timeout=200)
    assert sampled(server) == before + 1
    assert "best is candidate 2" in result.text("report")


async def test_a_server_that_is_down_keeps_them_too(client, server):
    async with judge_server(says_two) as (url, _):
        pass
    before = sampled(server)
    for _ in range(2):
        with pytest.raises(ExecutionFailed, match="cannot be reached.*the candidates are kept"):
            await client.run(box(url, seed=140), timeout=200)
    assert sampled(server) == before + 1


async def test_cancelling_while_the_judge_thinks_keeps_them_too(client, server):
    before = sampled(server)
    async with judge_server(never) as (url, calls):
        graph = box(url, seed=150)
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
        with pytest.raises(ExecutionFailed, match="gave no answer"):
            graph["judge"]["inputs"]["timeout"] = 1.0
            await client.run(graph, timeout=200)
    assert sampled(server) == before + 1


def scores(*answers):
    """VIEScore answers: the n-th picture seen gets the n-th score for both halves."""
    seen = []

    async def answer(number, body):
        *pictures, words = body["messages"][0]["content"]
        edit = pictures[-1]["image_url"]["url"]
        if edit not in seen:
            seen.append(edit)
        value = answers[seen.index(edit)]
        return value if isinstance(value, str) else json.dumps({"score": [value, value], "reasoning": "scripted"})

    return answer


async def test_it_stops_at_the_first_that_is_good_enough(client, server):
    before = sampled(server)
    async with judge_server(scores(3, 8.5, 1)) as (url, calls):
        result = await client.run(box(url, seed=160, method="score", good_enough=8.0), timeout=200)
    assert len(calls) == 4 and sampled(server) == before + 2
    assert "1. candidate 1, score 8.50" in result.text("report") and "2. candidate 0, score 3.00" in result.text(
        "report"
    )
    assert "candidate 1 (seed 161): 6 sampler steps in all" in server.log()
    assert np.array_equal(await graphs.picture(client, result), await stock(client, 161))


async def test_when_none_is_good_enough_the_best_of_all_is_taken(client, server):
    before = sampled(server)
    async with judge_server(scores(3, 5, "no idea")) as (url, calls):
        result = await client.run(box(url, seed=170, method="score", good_enough=8.0), timeout=200)
    assert len(calls) == 8, "two of each, and both of the last one once more"
    assert sampled(server) == before + 3 and "candidate 1 (seed 171): 8 sampler steps in all" in server.log()
    assert "3. candidate 2, no score" in result.text("report")


async def test_a_fault_in_the_second_round_keeps_the_first(client, server):
    scripted = scores(3, 9)
    before = sampled(server)

    async def fails_once(number, body):
        return await (is_busy if number == 3 else scripted)(number, body)

    async with judge_server(fails_once) as (url, calls):
        graph = box(url, seed=180, method="score", good_enough=8.0)
        graph["judge"]["inputs"]["parallel"] = 1
        with pytest.raises(ExecutionFailed, match="answered 500"):
            await client.run(graph, timeout=200)
        await client.run(graph, timeout=200)
    assert sampled(server) == before + 2
    assert len(calls) in (5, 6), "the first round's answers are remembered"


async def test_a_judge_that_was_set_right_finds_all_rounds(client, server):
    """Another judge is asked anew about the first round, and the second one's sampling is still there."""
    before = sampled(server)
    async with judge_server(scores(3, 9)) as (url, calls):
        graph = box(url, seed=200, method="score", good_enough=8.0)
        await client.run(graph, timeout=200)
        graph["judge"]["inputs"]["model"] = "small"
        await client.run(graph, timeout=200)
    assert sampled(server) == before + 2 and len(calls) == 8


async def test_the_worse_half_is_dropped_after_fewer_steps(client, server):
    async def likes_the_last(number, body):
        return "2"

    async with judge_server(likes_the_last) as (url, calls):
        graph = box(url, seed=230, drop_after=1)
        result = await client.run(graph, timeout=200)
        assert len(calls) == 3, "three candidates, then the two that were kept"
        assert (await client.run(graph, timeout=200)).cached
        assert len(calls) == 3
    # Round one ends 2, 1, 0; of these two the last but one wins, which is seed 231.
    assert np.array_equal(await graphs.picture(client, result), await stock(client, 231))


async def test_dropping_that_cannot_be_is_refused(client):
    graph = box("http://127.0.0.1:9/v1", seed=240, drop_after=2)
    with pytest.raises(ExecutionFailed, match="drop_after is 2 with early_steps 2.*must be below early_steps"):
        await client.run(graph, timeout=60)


async def test_a_threshold_without_scores_is_refused(client):
    graph = box("http://127.0.0.1:9/v1", seed=190, good_enough=7.0)
    with pytest.raises(ExecutionFailed, match="good_enough is 7 with method knockout.*Choose method score"):
        await client.run(graph, timeout=200)


async def test_numbers_of_a_batch_come_as_lists(client):
    """ICEditVIEScore on two edits of one source."""
    image = {"width": 32, "height": 32, "batch_size": 1}
    async with judge_server(scores(4, 9)) as (url, calls):
        graph = {
            "source": {"class_type": "EmptyImage", "inputs": image | {"color": 0}},
            "a": {"class_type": "EmptyImage", "inputs": image | {"color": 255}},
            "b": {"class_type": "EmptyImage", "inputs": image | {"color": 65280}},
            "edits": {
                "class_type": "BatchImagesNode",
                "inputs": {"images.image0": ["a", 0], "images.image1": ["b", 0]},
            },
            "judge": {
                "class_type": "ICEditJudgeServer",
                "inputs": {"url": url, "model": "scores", "timeout": 5.0, "retries": 0, "parallel": 1},
            },
            "score": {
                "class_type": "ICEditVIEScore",
                "inputs": {
                    "source": ["source", 0],
                    "edit": ["edits", 0],
                    "instruction": "make it green",
                    "judge": ["judge", 0],
                },
            },
            "overall": {"class_type": "PreviewAny", "inputs": {"source": ["score", 2]}},
        }
        result = await client.run(graph, timeout=60)
    assert len(calls) == 4
    assert result.text("score").splitlines() == [
        "VIEScore, 0 to 10",
        "edit 0: overall 4.00; SC 4: scripted; PQ 4: scripted",
        "edit 1: overall 9.00; SC 9: scripted; PQ 9: scripted",
    ]
    assert result.text("overall").split() == ["4.0", "9.0"]
