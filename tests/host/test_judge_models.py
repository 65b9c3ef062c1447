"""Judges with a real, small, random Qwen3-VL: in the host's CLIP, through transformers, and on a real server."""

import asyncio
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import torch

from devtools import processes
from devtools.server import MEMORY_LIMIT, free_port
from icedit_core import rank_images
from icedit_core.client import ExecutionFailed
from icedit_core.judges.pair import MOST_TOKENS, QUESTION
from icedit_core.judges.server import ServerJudge
from icedit_core.judges.transformers_judge import TransformersJudge, load

from . import vlm_case

ASKED = QUESTION.format(instruction="make the {left} half blue")
START_LIMIT = 240.0  # seconds for transformers to import and serve; 14 on a quiet machine


@pytest.fixture(scope="module")
def folder(comfyui: Path, tmp_path_factory) -> Path:
    return vlm_case.save(tmp_path_factory.mktemp("vlm") / "tiny", comfyui)


@pytest.fixture
def clip(folder, pack, monkeypatch):
    return vlm_case.load_clip(folder, monkeypatch)


@pytest.fixture
def host_judge(clip):
    from icedit_pack.nodes.judge_host import ICEditJudgeHost

    return ICEditJudgeHost.execute(clip).args[0]


@pytest.fixture(scope="module")
def library_judge(folder) -> TransformersJudge:
    loaded = load(folder, None, torch.float32)
    return TransformersJudge("library", lambda: loaded, lambda: None)


def one_and_two(answer) -> list[float]:
    return [answer.probabilities[number] for number in ("1", "2")]


@pytest.mark.parametrize("sizes", [(64, 96), (96, 64), (128, 128)])
async def test_host_and_transformers_agree(host_judge, library_judge, sizes):
    for seed in range(4):
        shown = vlm_case.pictures(seed, 3, *sizes)
        here, there = [await judge.ask(shown, ASKED, MOST_TOKENS) for judge in (host_judge, library_judge)]
        assert one_and_two(here) == pytest.approx(one_and_two(there), abs=1e-3)
        assert sum(one_and_two(here)) > 0.5 and here.text == there.text and set(here.text) <= {"1", "2"}


async def test_pictures_of_different_sizes_agree_as_well(host_judge, library_judge):
    shown = [vlm_case.pictures(9, 1, *size)[0] for size in ((64, 96), (96, 64), (128, 64))]
    here, there = [await judge.ask(shown, ASKED, 1) for judge in (host_judge, library_judge)]
    assert one_and_two(here) == pytest.approx(one_and_two(there), abs=1e-3)


async def test_answers_are_exactly_repeatable_and_know_the_order(host_judge):
    source, one, two = vlm_case.pictures(1)
    first, again, swapped = [
        await host_judge.ask(shown, ASKED, 1) for shown in ([source, one, two], [source, one, two], [source, two, one])
    ]
    assert first == again
    assert abs(one_and_two(first)[0] - one_and_two(swapped)[0]) > 1e-3


async def test_the_clip_is_left_as_it_was(clip, host_judge):
    model = clip.cond_stage_model.qwen3vl_8b.transformer

    def encoded():
        return clip.encode_from_tokens(clip.tokenize("a red ball"))

    before, names, patched = encoded(), set(vars(model)), clip.patcher.patches_uuid
    await host_judge.ask(vlm_case.pictures(2), ASKED, 2)
    assert torch.equal(before, encoded())
    assert set(vars(model)) == names and clip.patcher.patches_uuid == patched


async def test_a_failing_question_leaves_the_clip_as_it_was_too(clip, host_judge, monkeypatch):
    model = clip.cond_stage_model.qwen3vl_8b.transformer
    names = set(vars(model))
    with monkeypatch.context() as broken:
        broken.setattr(type(model), "logits", lambda self, x: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await host_judge.ask(vlm_case.pictures(2), ASKED, 2)
    assert set(vars(model)) == names
    assert (await host_judge.ask(vlm_case.pictures(2), ASKED, 2)).probabilities


async def test_two_loads_are_two_judges(clip, folder, monkeypatch):
    from icedit_pack.nodes.host.judge_host import HostJudge

    other = vlm_case.load_clip(folder, monkeypatch)
    assert HostJudge(clip).name == HostJudge(clip.clone()).name != HostJudge(other).name


@contextmanager
def pressed_cancel():
    import comfy.model_management as management

    management.interrupt_current_processing(True)
    try:
        yield management.InterruptProcessingException
    finally:
        management.interrupt_current_processing(False)


async def test_cancel_stops_all_questions_on_their_way(host_judge):
    with pressed_cancel() as interrupted:
        asking = [host_judge.ask(vlm_case.pictures(seed), ASKED, 1) for seed in range(3)]
        results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [interrupted] * 3


async def test_cancel_stops_between_two_words(host_judge):
    """As in the running host, whose progress bar looks at the button and takes the mark away."""
    import comfy.model_management as management
    import comfy.utils

    words = []

    def hook(value, total, preview, node_id=None):
        words.append(value)
        management.interrupt_current_processing(True)
        management.throw_exception_if_processing_interrupted()

    with pressed_cancel() as interrupted:
        management.interrupt_current_processing(False)
        comfy.utils.set_progress_bar_global_hook(hook)
        try:
            asking = [host_judge.ask(vlm_case.pictures(seed), ASKED, 8) for seed in range(2)]
            results = await asyncio.gather(*asking, return_exceptions=True)
        finally:
            comfy.utils.set_progress_bar_global_hook(None)
    assert [type(result) for result in results] == [interrupted] * 2
    assert words == [1], "the second question was not begun"


async def test_both_judges_rank_alike(host_judge, library_judge):
    source, *edits = vlm_case.pictures(5, 4)
    done = [
        await rank_images.rank([source], edits, "make it blue", judge, "round_robin")
        for judge in (host_judge, library_judge)
    ]
    assert done[0].rankings[0].order == done[1].rankings[0].order
    assert done[0].rankings[0].scores == pytest.approx(done[1].rankings[0].scores, abs=1e-2)
    assert "6 questions to Qwen3VL" in done[0].report


async def test_another_family_sees_all_pictures_whole(pack, monkeypatch):
    """Gemma 3, whose template is the host's own and whose pictures the host would cut to squares."""
    from icedit_pack.nodes.host.judge_host import HostJudge

    judge = HostJudge(vlm_case.gemma_clip(monkeypatch))
    source, one, two = vlm_case.pictures(3)
    first, again, swapped = [
        await judge.ask(shown, "which?", 2) for shown in ([source, one, two], [source, one, two], [source, two, one])
    ]
    assert first == again != swapped
    for seen in range(3):
        changed = [picture.clone() for picture in (source, one, two)]
        changed[seen][:, -8:] = 1 - changed[seen][:, -8:]  # outside of the middle square
        assert (await judge.ask(changed, "which?", 2)).probabilities != first.probabilities
    larger = [source, *vlm_case.pictures(3, 2, 96, 64)]
    assert (await judge.ask(larger, "which?", 2)).probabilities


def test_encoders_that_cannot_judge_are_refused(pack):
    import comfy.ops
    from comfy.text_encoders import llama
    from icedit_pack.nodes.host.judge_host import language_model

    def inside(model, **config):
        made = model(config, torch.float32, "meta", comfy.ops.disable_weight_init)
        return torch.nn.ModuleDict({"encoder": made})

    small = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    with pytest.raises(ValueError, match="ModuleDict, which writes text, but sees no pictures.*Load CLIP"):
        language_model(inside(llama.Qwen3_06B, **small))
    with pytest.raises(ValueError, match="Qwen25_7BVLI without the layer that writes text.*transformers"):
        language_model(inside(llama.Qwen25_7BVLI, **small))
    with pytest.raises(ValueError, match="Linear, which writes no text"):
        language_model(torch.nn.Linear(1, 1))


def rank_graph(judge: dict, instruction: str) -> dict:
    def plain(color):
        return {"class_type": "EmptyImage", "inputs": {"width": 96, "height": 64, "batch_size": 1, "color": color}}

    return {
        "source": plain(0x808080),
        "a": plain(0xFF0000),
        "b": plain(0x2040FF),
        "list": {"class_type": "CreateList", "inputs": {"inputs.input0": ["a", 0], "inputs.input1": ["b", 0]}},
        **judge,
        "rank": {
            "class_type": "ICEditRank",
            "inputs": {
                "source": ["source", 0],
                "candidates": ["list", 0],
                "instruction": instruction,
                "judge": ["judge", 0],
                "method": "knockout",
                "both_orders": True,
            },
        },
        "sheet": {"class_type": "PreviewImage", "inputs": {"images": ["rank", 4]}},
    }


async def test_text_encoders_of_a_flux_model_are_refused_by_the_node(client):
    judge = {
        "demo": {"class_type": "ICEditDemoModel", "inputs": {}},
        "judge": {"class_type": "ICEditJudgeHost", "inputs": {"clip": ["demo", 1]}},
    }
    with pytest.raises(ExecutionFailed, match="the CLIP is a .*which writes no text.*Load CLIP") as caught:
        await client.run(rank_graph(judge, "x"), timeout=200)
    assert caught.value.node_type == "ICEditJudgeHost"


async def test_a_folder_judges_in_the_running_host(server, client, folder):
    place = server.base / "models" / "LLM" / "Qwen-VL" / "tiny"
    shutil.copytree(folder, place)
    try:
        settings = {"model": "LLM/Qwen-VL/tiny", "adapter": "none", "dtype": "float32"}
        judge = {"judge": {"class_type": "ICEditJudgeTransformers", "inputs": settings}}
        result = await client.run(rank_graph(judge, "make it blue"), timeout=300)
        report = result.text("rank")
        assert "2 questions to LLM/Qwen-VL/tiny (float32" in report and "unreadable" not in report

        async with aiohttp.ClientSession() as session:
            async with session.post(f"{server.url}/free", json={"unload_models": True}) as reply:
                assert reply.status == 200
        result = await client.run(rank_graph(judge, "make it red"), timeout=300)
        assert "judge" in result.cached and "2 questions to" in result.text("rank")
    finally:
        shutil.rmtree(place)


@contextmanager
def transformers_serve(folder: Path, log_file: Path):
    """A real OpenAI-compatible server with the folder's model."""
    port = free_port()
    code = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", code, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with processes.child(command, cwd=folder, log_file=log_file, env=env, memory_limit=MEMORY_LIMIT) as process:
        yield f"http://127.0.0.1:{port}", process


async def wait_for(url: str, process, log_file: Path) -> None:
    until = time.monotonic() + START_LIMIT
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until and process.poll() is None:
            try:
                async with session.get(f"{url}/health") as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)
    pytest.fail(f"transformers serve does not answer:\n{log_file.read_text(errors='replace')[-3000:]}")


async def test_a_real_openai_compatible_server(folder, library_judge, tmp_path):
    log_file = tmp_path / "serve.log"
    with transformers_serve(folder, log_file) as (url, process):
        await wait_for(url, process, log_file)
        judge = ServerJudge(f"{url}/v1", str(folder), timeout=120, retries=0, free_memory=True)
        for seed in (1, 2):
            shown = vlm_case.pictures(seed)
            served, here = [await one.ask(shown, ASKED, MOST_TOKENS) for one in (judge, library_judge)]
            assert served.text == here.text, "the same weights, the same pictures, the same words"
        source, *edits = vlm_case.pictures(6, 4)
        done = await rank_images.rank([source], edits, "make it green", judge)
    assert "questions to" in done.report and sorted(done.rankings[0].order) == [0, 1, 2]
    assert "stays in the server's memory" in done.report, "it is no Ollama"
