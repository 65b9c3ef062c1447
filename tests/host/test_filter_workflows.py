"""The workflows that choose among seeds run on the real server; only judges and text encoders of size are replaced."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from devtools.workflows import MOE_LORA, definitions
from devtools.workflows.any_editor import KONTEXT
from devtools.workflows.judges import QWEN
from icedit_core.client import ExecutionFailed

from . import graphs
from .test_candidates_models import KONTEXT as SMALL
from .test_candidates_models import random_base
from .test_rank import judge_server, says_two
from .test_workflows import adapter_file, small_picture  # noqa: F401 - a fixture


def judged_by(graph, url, asks="ICEditRank"):
    """The graph with a model on a server as the judge that `asks` is given, whatever it had."""
    old = graph[graph[graphs.find(graph, asks)]["inputs"]["judge"][0]]
    settings = {"url": url, "model": "tiny", "key_variable": "", "timeout": 20.0, "retries": 0, "parallel": 4}
    old |= {"class_type": "ICEditJudgeServer", "inputs": settings}
    return graph


def with_small_encoders(graph):
    """Stock DualCLIPLoader fixes its encoders' sizes, so the demo model's stand in for them."""
    graph[graphs.find(graph, "DualCLIPLoader")] |= {"class_type": "ICEditDemoModel", "inputs": {}}
    for node in graph.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and graph[value[0]]["class_type"] == "ICEditDemoModel" and name == "clip":
                node["inputs"][name] = [value[0], 1]
    return graph


@pytest.fixture(scope="module")
def published_files(server, pack, adapter_file, tmp_path_factory):  # noqa: F811
    """Small files under the published names, taken away again: other modules place their own."""
    config = SMALL | {"context_in_dim": 64, "vec_in_dim": 32}  # as the demo model's text encoders are
    weights = random_base("Flux", config).diffusion_model.state_dict()
    kontext = tmp_path_factory.mktemp("kontext") / "kontext.safetensors"
    save_file({key: value.contiguous() for key, value in weights.items()}, kontext)
    more = {
        f"loras/{MOE_LORA}": adapter_file,
        f"diffusion_models/{KONTEXT['name']}": kontext,
        f"text_encoders/{QWEN['name']}": graphs.WEIGHTS / "icedit_demo_t5.safetensors",  # its name counts alone
    }
    with graphs.small_files(server, more):
        yield


async def test_the_demo_filter_finishes_the_judges_choice_as_a_ksampler_would(client):
    graph = graphs.shipped("icedit_early_filter_demo")
    async with judge_server(says_two) as (url, calls):
        result = await client.run(judged_by(graph, url), timeout=300)
    plan = graph[graphs.find(graph, "ICEditCandidates")]["inputs"]
    assert len(calls) == 2 * (plan["count"] - 1), "every pair in both orders"
    report = result.text(graphs.find(graph, "ICEditRank"))
    assert "best is candidate 0" in report and "the answer followed the position" in report, "it always said 2"
    assert f"{plan['steps'] + (plan['count'] - 1) * plan['early_steps']} sampler steps in all" in result.text(
        graphs.find(graph, "ICEditFinish")
    )
    alone = graphs.shipped("icedit_demo")
    scene, words = (graphs.find(alone, kind) for kind in ("ICEditDemoScene", "ICEditPrompt"))
    alone[scene]["inputs"] = graph[graphs.find(graph, "ICEditDemoScene")]["inputs"]
    alone[words]["inputs"]["instruction"] = [scene, 1]
    expected = await graphs.picture(client, await client.run(alone, timeout=300))
    assert np.array_equal(await graphs.picture(client, result), expected)


async def test_the_demo_filter_asks_a_person_and_says_so_to_a_script(client):
    with pytest.raises(ExecutionFailed, match="ICEdit Judge") as caught:
        await client.run(graphs.shipped("icedit_early_filter_demo"), timeout=300)
    assert caught.value.node_type == "ICEditRank"


async def test_the_flux_filter_validates_unchanged_and_runs_on_small_files(client, published_files):
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped("icedit_early_filter"), "LoadImage", image=picture.widget)
    await client.cancel(await client.queue(graph))
    graph = graphs.changed(graph, "ICEditCandidates", count=2, steps=3, early_steps=1)
    async with judge_server(says_two) as (url, calls):
        result = await client.run(with_small_encoders(judged_by(graph, url)), timeout=300)
    assert (await graphs.picture(client, result)).shape == (33, 260, 3)
    (asked, _) = calls
    assert "make her hair dark green" in asked["messages"][0]["content"][-1]["text"]


async def test_best_of_any_editor_runs_with_a_small_kontext(client, published_files):
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped("best_of_any_editor"), "LoadImage", image=picture.widget)
    await client.cancel(await client.queue(graph))
    # Kontext's own sizes are about a megapixel: work for a GPU. The small one is given a small picture instead.
    scale = graphs.find(graph, "FluxKontextImageScale")
    graph[scale] |= {"class_type": "ImageScale"}
    graph[scale]["inputs"] |= {"upscale_method": "area", "width": 64, "height": 32, "crop": "disabled"}
    graph = graphs.changed(graphs.changed(graph, "KSampler", steps=2), "RepeatLatentBatch", amount=3)
    async with judge_server(says_two) as (url, calls):
        graph[graphs.find(graph, "ICEditRank")]["inputs"]["both_orders"] = False
        result = await client.run(with_small_encoders(judged_by(graph, url)), timeout=300)
    assert "best is candidate 2 (knockout)" in result.text(graphs.find(graph, "ICEditRank"))
    assert (await graphs.picture(client, result)).shape == (32, 64, 3)
    shown = [part["image_url"]["url"] for part in calls[0]["messages"][0]["content"][:3]]
    assert len(set(shown)) == 3, "the source and two different edits"


def test_every_workflow_shares_its_words_with_the_judge():
    for name, workflow in definitions().items():
        nodes = workflow.nodes.values()
        for rank in [node for node in nodes if node.type == "ICEditRank"]:
            told = [node.inputs for node in nodes if node.type in ("ICEditPrompt", "CLIPTextEncode")]
            assert [words.get("instruction", words.get("text")) for words in told] == [rank.inputs["instruction"]], name


def test_noise_of_a_batch_differs_by_row(pack):
    """What `best_of_any_editor` relies on: one seed, another noise for each picture of the batch."""
    import comfy.sample

    noise = comfy.sample.prepare_noise(torch.zeros(3, 16, 4, 4), 42)
    assert len({row.numpy().tobytes() for row in noise}) == 3
