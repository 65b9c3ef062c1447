"""How a judge is asked, chosen on its node: by its files, by name, and by a question file of the user."""

import importlib
import json
import shutil
import sys
from types import ModuleType

import numpy as np
import pytest

from icedit_core.client import ExecutionFailed

from . import graphs, vlm_case
from .test_judge_models import rank_graph
from .test_rank import judge_server

SPATIAL = "name: SpatialReward\nreader: spatial_reward\n--- source, edit\nWhere: <instruction>\n--- edit\nHow real?\n"
BOX = {"id": 1, "label": "left half", "bbox_2d": [0, 0, 500, 1000]}


def served(url, model="tiny", **inputs):
    place = {"url": url, "model": model, "timeout": 5.0, "retries": 0, "parallel": 4}
    return {"judge": {"class_type": "ICEditJudgeServer", "inputs": place | inputs}}


async def spatial(number, body):
    regions = {"edit_region": [BOX]} if len(body["messages"][0]["content"]) == 3 else {}
    return json.dumps({"reasoning": "fine", "score": [20, 25], **regions})


async def editscore(number, body):
    return json.dumps({"reasoning": "fine", "score": [20, 25]})


@pytest.fixture
def question_file(server):
    folder = server.base / "models" / "LLM"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "own.questions.txt"
    path.write_text(SPATIAL)
    yield path
    path.unlink()


async def test_editscore_is_told_by_the_models_name_and_asked_four_times(client):
    async with judge_server(editscore) as (url, calls):
        graph = rank_graph(served(url, "EditScore-7B", passes=4), "make it blue")
        result = await client.run(graph, timeout=200)
    assert len(calls) == 2 * 4 * 2, "two edits, four passes, two questions"
    assert {(call["temperature"], call["top_p"], call["top_k"]) for call in calls} == {(0.7, 0.9, 20)}
    assert {call["seed"] for call in calls} == {42, 43, 44, 45}
    assert any(part.get("text") == "<img1>: " for part in calls[0]["messages"][0]["content"]), "as for a Qwen2.5-VL"
    assert "(score: EditScore, mean of 4 passes, 0 to 10)" in result.text("rank")


async def test_a_question_file_is_asked_and_its_regions_are_a_mask(client, question_file):
    async with judge_server(spatial) as (url, calls):
        graph = rank_graph(served(url, question_file="LLM/own.questions.txt"), "make it blue")
        graph["mask"] = {"class_type": "MaskToImage", "inputs": {"mask": ["rank", 5]}}
        graph["save"] = {"class_type": "SaveImage", "inputs": {"images": ["mask", 0], "filename_prefix": "regions"}}
        result = await client.run(graph, timeout=200)
        assert "(score: SpatialReward, 0 to 10)" in result.text("rank")
        mask = await graphs.picture(client, result)
        assert (mask[:, :48] == 255).all() and np.count_nonzero(mask[:, 48:]) == 0
        asked = len(calls)
        question_file.write_text(SPATIAL.replace("How real?", "How true?"))
        await client.run(graph, timeout=200)
    assert asked == 4 and len(calls) == 6, "the changed file is read, and its one new question asked of both edits"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"passes": 4}, "passes is 4, and the questions are VIEScore"),
        ({"questions": "question file"}, "without one"),
        ({"question_file": "LLM/own.questions.txt", "questions": "EditScore"}, "with a question_file"),
    ],
)
async def test_inputs_that_contradict_each_other_are_refused(client, question_file, inputs, said):
    with pytest.raises(ExecutionFailed, match=said) as caught:
        await client.run(rank_graph(served("http://127.0.0.1:9/v1", **inputs), "x"), timeout=200)
    assert caught.value.node_type == "ICEditJudgeServer"


async def test_a_broken_question_file_is_refused_with_its_name(client, question_file):
    question_file.write_bytes(b"\xff\xfe\x00")
    graph = rank_graph(served("http://127.0.0.1:9/v1", question_file="LLM/own.questions.txt"), "x")
    with pytest.raises(ExecutionFailed, match="LLM/own.questions.txt is not UTF-8"):
        await client.run(graph, timeout=200)


async def test_editreward_is_told_by_its_heads_and_rates_in_the_running_host(server, client, monkeypatch):
    monkeypatch.setitem(sys.modules, "core_cases", (cases := ModuleType("core_cases")))
    cases.__path__ = [str(graphs.ROOT / "tests" / "core")]
    save = importlib.import_module("core_cases.tiny_edit_reward").save
    place = server.base / "models" / "LLM" / "rater"
    save(place)
    try:
        settings = {"model": "LLM/rater", "adapter": "none", "dtype": "float32"}
        judge = {"judge": {"class_type": "ICEditJudgeTransformers", "inputs": settings}}
        result = await client.run(rank_graph(judge, "make it blue"), timeout=300)
        report = result.text("rank")
        assert "(score: EditReward, no fixed ends, higher is better)" in report and "4 questions to LLM/rater" in report
        judge["judge"]["inputs"] |= {"questions": "VIEScore"}
        with pytest.raises(ExecutionFailed, match="has heads that rate and writes no text"):
            await client.run(rank_graph(judge, "make it blue"), timeout=300)
        judge["judge"]["inputs"] |= {"questions": "auto", "picture_side": 512}
        with pytest.raises(ExecutionFailed, match="LLM/rater is EditReward, .*picture_side 512"):
            await client.run(rank_graph(judge, "make it blue"), timeout=300)
    finally:
        shutil.rmtree(place)


async def test_comfyuis_own_model_draws_by_the_manner_and_sees_its_system_turn(comfyui, pack, tmp_path, monkeypatch):
    from icedit_pack.nodes.host.judge_host import _PICTURE, HostJudge, _qwen

    from icedit_core.judges.judge import Manner

    told = _qwen(2, "Which?", Manner(system="Be meticulous.", numbered=True))
    assert told == (
        f"<|im_start|>system\nBe meticulous.<|im_end|>\n<|im_start|>user\n<img1>: {_PICTURE}<img2>: {_PICTURE}Which?"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    judge = HostJudge(vlm_case.load_clip(vlm_case.save(tmp_path / "tiny", comfyui), monkeypatch))
    shown = vlm_case.pictures(3)
    drawn = [await judge.ask(shown, "Which?", 4, Manner(5.0, 1.0, 0, seed)) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1] and len({answer.text for answer in drawn}) > 1
    with pytest.raises(ValueError, match="system turn.*Use Qwen3-VL"):
        await HostJudge(vlm_case.gemma_clip(monkeypatch)).ask(shown, "Which?", 4, Manner(system="Be meticulous."))
