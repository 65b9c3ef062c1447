"""The shipped workflows run unchanged on the real server, and sample as the published pipeline does."""

import asyncio
import io
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from devtools import workflows
from icedit_core.client import ExecutionFailed, ExecutionInterrupted, PromptRejected

from . import flux_case, graphs

STEPS = 4  # enough for a test; the shipped number is tried once


@pytest.fixture(scope="module")
def adapter_file(tmp_path_factory):
    """A small MoE-LoRA for the demo model."""
    weights = load_file(graphs.WEIGHTS / "icedit_demo_fill.safetensors")
    tensors = flux_case.random_adapter(weights, torch.Generator().manual_seed(0), rank=4)
    path = tmp_path_factory.mktemp("loras") / "moe.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def plain_adapter_file(adapter_file, tmp_path_factory):
    """The layers of the MoE-LoRA that have no experts: a plain LoRA."""
    path = tmp_path_factory.mktemp("loras") / "plain.safetensors"
    plain = {k: v for k, v in load_file(adapter_file).items() if "expert" not in k and "route" not in k}
    assert plain
    save_file(plain, path)
    return path


@pytest.fixture(scope="module")
def published_files(server, adapter_file, plain_adapter_file):
    """Small files under the published names, taken away again: later modules place their own."""
    loras = {f"loras/{workflows.MOE_LORA}": adapter_file, f"loras/{workflows.NORMAL_LORA}": plain_adapter_file}
    with graphs.small_files(server, loras):
        yield


@pytest.fixture
def demo():
    return graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=STEPS)


async def test_every_node_of_the_pack_is_registered(client):
    info = await client.object_info()
    assert set(workflows.node_ids()) <= set(info)
    assert all(info[name]["category"].startswith("ICEdit/") for name in workflows.node_ids())


async def test_files_equal_their_definitions(client):
    for path, text in workflows.render(await client.object_info()).items():
        assert (graphs.ROOT / path).read_text(encoding="utf-8") == text, path


async def test_only_core_nodes_and_ours(client):
    info = await client.object_info()
    for path in (graphs.ROOT / "workflows" / "api").glob("*.json"):
        for node in json.loads(path.read_text(encoding="utf-8")).values():
            module = info[node["class_type"]]["python_module"]
            assert module.startswith(("nodes", "comfy_extras.")) or node["class_type"] in workflows.node_ids()


async def test_demo_workflow_runs_unchanged(client):
    graph = graphs.shipped("icedit_demo")
    steps = []
    await client.free()  # cached nodes, of an earlier test, say nothing
    result = await client.run(graph, steps.append, timeout=300)
    last = [step for step in steps if step.node_type == "KSampler"][-1]  # the server skips some in between
    assert last.value == last.max == graph[graphs.find(graph, "KSampler")]["inputs"]["steps"]
    edited = await graphs.picture(client, result)
    assert edited.shape == (256, 256, 3)
    source = await graphs.picture(client, await client.run(source_only(graph), timeout=60))
    same = (edited == source).all(-1).mean()
    assert 0.3 < same < 0.995, "some of the picture is edited, the rest is the source bit for bit"
    prompt = result.text(graphs.find(graph, "ICEditPrompt"))
    assert prompt.startswith("A diptych with two side-by-side images of the same scene.")


async def test_the_demo_around_a_mask_does_what_its_words_say(client):
    edited = await graphs.picture(client, await client.run(graphs.shipped("icedit_around_mask_demo"), timeout=300))
    red, green, blue = np.median(edited[30:70, 40:80].reshape(-1, 3), axis=0)  # the middle of the heart, 256 px
    assert red > 150 and max(green, blue) < 80, "the pink heart is red"


def source_only(graph):
    scene = graphs.find(graph, "ICEditDemoScene")
    save = {"class_type": "SaveImage", "inputs": {"images": [scene, 0], "filename_prefix": "source"}}
    return {scene: graph[scene], "save": save}


async def test_same_graph_same_bits_and_the_second_time_from_the_cache(client, demo):
    first = await client.run(demo, timeout=120)
    again = await client.run(demo, timeout=120)
    assert again.cached == set(demo)
    expected = await graphs.picture(client, first)
    other = await graphs.picture(client, await client.run(graphs.changed(demo, "KSampler", seed=1), timeout=120))
    await client.free()
    assert not np.array_equal(other, expected)
    assert np.array_equal(await graphs.picture(client, await client.run(demo, timeout=120)), expected)


async def test_adapter_cached_noticed_when_changed_and_the_base_left_clean(client, server, demo, adapter_file):
    path = server.base / "models" / "loras" / "changing.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(adapter_file.read_bytes())
    base = await graphs.picture(client, await client.run(demo, timeout=120))
    graph = graphs.with_adapter(demo, "changing.safetensors")
    result = await client.run(graph, timeout=120)
    text = result.text("lora")
    assert "6 routed layers of 4 experts, rank 4" in text and "top 1 per token, strength 1" in text
    adapted = await graphs.picture(client, result)
    assert not np.array_equal(adapted, base)
    assert (await client.run(graph, timeout=120)).cached == set(graph)
    save_file({key: value * 2 for key, value in load_file(path).items()}, path)
    changed = await client.run(graph, timeout=120)
    assert "lora" not in changed.cached
    assert not np.array_equal(await graphs.picture(client, changed), adapted)
    await client.free()
    assert np.array_equal(await graphs.picture(client, await client.run(demo, timeout=120)), base)


async def test_one_model_with_and_without_the_adapter_in_one_graph(client, published_files, demo):
    base = await graphs.picture(client, await client.run(graphs.changed(demo, "KSampler", seed=5), timeout=120))
    graph = graphs.changed(demo, "KSampler", seed=5)
    graph["lora"] = {
        "class_type": "ICEditLoadLoRA",
        "inputs": {"model": graph[graphs.find(graph, "ModelSamplingFlux")]["inputs"]["model"], "strength": 1.0}
        | {"lora_name": workflows.MOE_LORA, "top_k": 0},
    }
    for name, kind in (("shift", "ModelSamplingFlux"), ("sample", "KSampler"), ("decode", "VAEDecode")):
        graph[name] = json.loads(json.dumps(graph[graphs.find(demo, kind)]))
    graph["shift"]["inputs"]["model"] = ["lora", 0]
    graph["sample"]["inputs"]["model"] = ["shift", 0]
    graph["decode"]["inputs"]["samples"] = ["sample", 0]
    graph["show"] = {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}}
    await client.free()
    result = await client.run(graph, timeout=120)
    assert np.array_equal(await graphs.picture(client, result), base)
    assert result.images("show")


FLUX_EDITS = {
    "icedit_flux_fill": "6 routed layers of 4 experts",
    "icedit_normal_lora": "plain layers, rank 4",
    "icedit_training_free": None,
    "icedit_whole_picture": "6 routed layers of 4 experts",
}


@pytest.mark.parametrize("name", FLUX_EDITS)
async def test_flux_workflow_validates_unchanged_and_runs_on_small_text_encoders(client, published_files, name):
    """Stock DualCLIPLoader fixes its encoders' sizes, so only its link is replaced."""
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped(name), "LoadImage", image=picture.widget)
    await client.cancel(await client.queue(graph))
    graph["demo"] = {"class_type": "ICEditDemoModel", "inputs": {}}
    graph[graphs.find(graph, "ICEditPrompt")]["inputs"]["clip"] = ["demo", 1]
    del graph[graphs.find(graph, "DualCLIPLoader")]
    result = await client.run(graph, timeout=300)
    assert (await graphs.picture(client, result)).shape == (33, 260, 3)
    adapters = [number for number, node in graph.items() if node["class_type"] == "ICEditLoadLoRA"]
    said = [result.text(number) for number in adapters]
    assert len(said) == (FLUX_EDITS[name] is not None)
    assert all(FLUX_EDITS[name] in text for text in said)


async def test_around_a_mask_only_the_masked_part_changes(client, published_files):
    pixels = np.random.default_rng(0).integers(0, 255, (96, 128, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[40:60, 50:70, 3] = 0  # as the mask editor saves it: transparent where painted
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    masked = await client.upload_image(buffer.getvalue(), "masked.png", overwrite=True)
    graph = graphs.changed(graphs.shipped("icedit_around_mask"), "LoadImage", image=masked.widget)
    await client.cancel(await client.queue(graph))
    graph = graphs.changed(graphs.changed(graph, "KSampler", steps=2), "ICEditDiptych", width=64)
    graph["demo"] = {"class_type": "ICEditDemoModel", "inputs": {}}
    graph[graphs.find(graph, "ICEditPrompt")]["inputs"]["clip"] = ["demo", 1]
    result = await client.run(graph, timeout=120)
    assert "64x64 px of it -> panel 64x64 px" in result.text(graphs.find(graph, "ICEditDiptych"))
    apart = ((await graphs.picture(client, result)) != pixels[..., :3]).any(-1)
    assert apart[40:60, 50:70].mean() > 0.9
    apart[40 - 8 : 60 + 8, 50 - 8 : 70 + 8] = False  # the feather of 8 px
    assert not apart.any()


def small_picture():
    """Wide and low, so that a panel of 512 px stays small work for a CPU."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (33, 260, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


async def test_interrupt_ends_the_run_at_once_and_leaves_the_model_clean(client, published_files, demo):
    expected = await graphs.picture(client, await client.run(demo, timeout=120))
    long = graphs.with_adapter(graphs.changed(demo, "KSampler", steps=5000, seed=3), workflows.MOE_LORA)
    steps, stopping = [], []

    def stop_when_it_samples(step):
        if step.node_type == "KSampler" and step.value:
            steps.append(step.value)
            if not stopping:
                stopping.append(asyncio.ensure_future(client.interrupt()))

    with pytest.raises(ExecutionInterrupted, match="KSampler"):
        await client.run(long, stop_when_it_samples, timeout=100)
    assert steps[-1] < 500, "of the 5000 steps asked for; the request itself takes the time of a few"
    await client.free()
    assert np.array_equal(await graphs.picture(client, await client.run(demo, timeout=120)), expected)


BAD = {
    "empty instruction": ("ICEditPrompt", {"instruction": "  "}, "the instruction is '  '.*some words are needed"),
    "custom template": (
        "ICEditPrompt",
        {"template": "custom", "custom_template": "no place"},
        "the template is 'no place', but it must hold {instruction}",
    ),
    "no mask": ("ICEditDiptych", {"fit": "around_mask"}, "mask"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_inputs_give_our_message(client, demo, case):
    kind, inputs, message = BAD[case]
    with pytest.raises(ExecutionFailed, match=message) as caught:
        await client.run(graphs.changed(demo, kind, **inputs), timeout=60)
    assert caught.value.node_type == kind and caught.value.exception_type == "ValueError"


@pytest.mark.parametrize(
    ("kind", "inputs", "words"),
    [
        ("ICEditDiptych", {"width": 8}, "smaller than min"),
        ("ICEditDiptych", {"fit": "stretch"}, "'stretch' not in"),
        ("ICEditPrompt", {"guidance": -1}, "smaller than min"),
    ],
)
async def test_values_out_of_range_are_rejected_before_anything_runs(client, demo, kind, inputs, words):
    with pytest.raises(PromptRejected, match=words):
        await client.queue(graphs.changed(demo, kind, **inputs))


def damaged(tensors, case):
    tensors = dict(tensors)
    expert = next(key for key in tensors if "lora_B.expert_2" in key)
    if case == "expert missing":
        return {key: value for key, value in tensors.items() if "expert_3" not in key}
    if case == "wrong shape":
        return tensors | {expert.replace("expert_2", f"expert_{i}"): tensors[expert][:-1].clone() for i in range(4)}
    return {"lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight": torch.ones(4, 640)} | {
        "lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight": torch.ones(640, 4)
    }


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("expert missing", r"experts 0, 1, 2, but its router picks among 4"),
        ("wrong shape", "fits a layer of .* but this model's has"),
        ("sdxl", r"this is a LoRA for Stable Diffusion \(SDXL or 1.5\)"),
    ],
)
async def test_adapters_refused_with_the_cause(client, server, demo, adapter_file, case, cause):
    path = server.base / "models" / "loras" / f"{case.replace(' ', '_')}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(damaged(load_file(adapter_file), case), path)
    before = await graphs.picture(client, await client.run(demo, timeout=120))
    with pytest.raises(ExecutionFailed, match=cause) as caught:
        await client.run(graphs.with_adapter(demo, path.name), timeout=120)
    assert caught.value.node_type == "ICEditLoadLoRA"
    await client.free()
    assert np.array_equal(await graphs.picture(client, await client.run(demo, timeout=120)), before)


async def test_an_instruction_in_another_script_is_warned_about(client, demo):
    words = "\u628a\u80cc\u666f\u6539\u6210\u84dd\u8272"
    graph = graphs.changed(demo, "ICEditPrompt", instruction=words)
    text = (await client.run(graph, timeout=120)).text(graphs.find(graph, "ICEditPrompt"))
    assert words in text and "CJK letters" in text and "know English" in text


@pytest.mark.parametrize("size", [(1024, 512), (1024, 1360), (2048, 1024), (128, 64), (1024, 16)])
@pytest.mark.parametrize("steps", [4, 28, 50])
def test_sigmas_are_the_published_pipelines(pack, size, steps):
    """s = linspace(1, 1/n, n), shifted by the number of image tokens, as FluxFillPipeline does it."""
    import comfy.samplers
    from comfy_extras.nodes_model_advanced import ModelSamplingFlux

    model = flux_case.load(flux_case.weights())
    (shifted,) = ModelSamplingFlux().patch(model, 1.15, 0.5, *size)
    got = comfy.samplers.calculate_sigmas(shifted.get_model_object("model_sampling"), "simple", steps)
    tokens = size[0] * size[1] / 16**2
    mu = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    s = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
    expected = torch.cat([math.exp(mu) / (math.exp(mu) + 1 / s - 1), torch.zeros(1, dtype=torch.float64)])
    torch.testing.assert_close(got.double(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", FLUX_EDITS)
async def test_flux_workflow_takes_its_shift_from_the_diptych(name):
    graph = graphs.shipped(name)
    shift = graph[graphs.find(graph, "ModelSamplingFlux")]["inputs"]
    size = graphs.find(graph, "GetImageSize")
    assert (shift["width"], shift["height"]) == ([size, 0], [size, 1])
    assert graph[size]["inputs"]["image"] == [graphs.find(graph, "ICEditDiptych"), 0]
    assert (shift["max_shift"], shift["base_shift"]) == (1.15, 0.5)
