"""The workflows of X2Edit on the real server, end to end: its own text path, sampling, and back to the source."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from devtools.server import MEMORY_LIMIT, Host, running_host
from devtools.workflows import MOE_LORA
from devtools.workflows.keep_unedited import QWEN_CLIP
from devtools.workflows.x2edit import ADAPTER, DEV, TURBO
from icedit_core.client import ExecutionFailed, ExecutionInterrupted
from icedit_core.x2edit.align import AlignNet

from . import graphs
from .test_rank import judge_server, says_two
from .test_workflows import small_picture
from .test_wrong_models import flux_dev
from .test_x2edit_server import random_x2edit, scripted

PACK = Path(__file__).parent / "packs" / "small_qwen"
STATES, WIDE = 4, 128  # of the pack's language model
NAMES = ("x2edit", "x2edit_turbo")
STEPS = {"x2edit": 28, "x2edit_turbo": 8}


@pytest.fixture(scope="module")
def server(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A ComfyUI with our pack, one with a small language model, and small files under the published names."""
    folder = tmp_path_factory.mktemp("x2edit")
    shutil.copytree(PACK, folder / "packs" / PACK.name)
    paths = folder / "paths.yaml"
    paths.write_text(json.dumps({"small": {"custom_nodes": str(folder / "packs")}}), encoding="utf-8")
    weights = flux_dev()
    save_file(weights, folder / "dev")
    save_file(whole_x2edit(weights), folder / "x2edit")
    save_file(small_lora(weights), folder / "turbo")
    models = {
        f"diffusion_models/{DEV['name']}": folder / "dev",
        f"loras/{ADAPTER}": folder / "x2edit",
        f"loras/{TURBO['name']}": folder / "turbo",
        f"loras/{MOE_LORA}": graphs.ROOT / "demo" / "loras" / "icedit_demo_moe_lora.safetensors",
        f"text_encoders/{QWEN_CLIP['name']}": graphs.WEIGHTS / "icedit_demo_t5.safetensors",  # its name counts alone
        "vae/ae.safetensors": graphs.WEIGHTS / "icedit_demo_vae.safetensors",
    }
    arguments = ["--extra-model-paths-config", str(paths)]
    limit = {"memory_limit": MEMORY_LIMIT, "extra_args": arguments}
    with running_host(comfyui, graphs.ROOT, cpu=True, models=models, **limit) as running:
        yield running


def whole_x2edit(weights):
    """The adapter and AlignNet in one file, for the small language model and the small FLUX.1 dev."""
    draw = torch.Generator().manual_seed(1)
    out = weights["context_embedder.weight"].shape[1]
    pooled = weights["time_text_embed.text_embedder.linear_1.weight"].shape[1]
    with torch.device("meta"):
        shapes = AlignNet(STATES, WIDE, out, pooled).state_dict()
    align = {f"align.{key}": torch.randn(value.shape, generator=draw) * 0.2 for key, value in shapes.items()}
    return random_x2edit(weights) | align


def small_lora(weights):
    """A normal LoRA on the blocks' attention, strong enough to be seen."""
    draw, tensors = torch.Generator().manual_seed(2), {}
    for key in [key for key in weights if key.endswith("attn.to_q.weight")]:
        out, wide = weights[key].shape
        name = f"transformer.{key.removesuffix('.weight')}"
        tensors[f"{name}.lora_A.weight"] = torch.randn(4, wide, generator=draw) / wide**0.5
        tensors[f"{name}.lora_B.weight"] = torch.randn(out, 4, generator=draw) * 0.3
    return tensors


async def prepared(client, name="x2edit", size=(64, 96), **sampling):
    """The shipped workflow with a small language model; unless `size` is None, at that width and height.

    The left half of the picture may not be edited.
    """
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped(name), "LoadImage", image=picture.widget)
    graph[graphs.find(graph, "CLIPLoader")] |= {"class_type": "SmallQwen", "inputs": {}}
    if size:
        scaled = {"upscale_method": "area", "width": size[0], "height": size[1], "crop": "disabled"}
        seen = graph[graphs.find(graph, "ICEditX2Size")]
        seen |= {"class_type": "ImageScale", "inputs": seen["inputs"] | scaled}
    whole = {"value": 1.0, "width": 260, "height": 33}
    joined = {"destination": ["all", 0], "source": ["none", 0], "x": 0, "y": 0, "operation": "multiply"}
    graph["all"] = {"class_type": "SolidMask", "inputs": whole}
    graph["none"] = {"class_type": "SolidMask", "inputs": whole | {"value": 0.0, "width": 130}}
    graph["half"] = {"class_type": "MaskComposite", "inputs": joined}
    graph[graphs.find(graph, "ICEditKeepUnedited")]["inputs"]["mask"] = ["half", 0]
    return graphs.changed(graph, "KSampler", **sampling)


async def edited(client, graph):
    return await graphs.picture(client, await client.run(graph, timeout=300))


def source():
    return np.asarray(Image.open(io.BytesIO(small_picture())))


@pytest.mark.parametrize("name", NAMES)
async def test_they_validate_unchanged(client, name):
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped(name), "LoadImage", image=picture.widget)
    await client.cancel(await client.queue(graph))


@pytest.mark.slow
async def test_at_the_published_size_the_sources_size_and_pixels_come_back(client, server):
    graph = await prepared(client, size=None, steps=1)
    result = await client.run(graph, timeout=400)
    kept = await graphs.picture(client, result)
    assert kept.shape == (33, 260, 3)
    assert np.array_equal(kept[:, :130], source()[:, :130])
    assert (kept[:, 130:] != source()[:, 130:]).any(-1).mean() > 0.5
    assert "12 experts" in result.text(graphs.find(graph, "ICEditX2Adapter"))
    assert "Instruction editing description" in result.text(graphs.find(graph, "ICEditX2Prompt"))
    shift = graph[graphs.find(graph, "ModelSamplingFlux")]["inputs"]
    graph["sides"] = {"class_type": "PreviewAny", "inputs": {"source": shift["width"]}}
    assert (await client.run(graph, timeout=400)).text("sides") == "1456"


@pytest.mark.parametrize("name", NAMES)
async def test_all_steps_as_shipped_and_the_same_bits_again(client, name):
    graph = await prepared(client, name)
    steps = []
    await client.free()
    result = await client.run(graph, steps.append, timeout=300)
    last = [step for step in steps if step.node_type == "KSampler"][-1]
    assert last.value == last.max == STEPS[name]
    first = await graphs.picture(client, result)
    await client.free()
    assert np.array_equal(await edited(client, graph), first)


async def test_words_task_and_the_fast_lora_reach_the_edit(client):
    graph = await prepared(client, "x2edit_turbo", steps=2)
    words = {"value": "Take the hat away"}
    changed = {
        "as it is": graph,
        "other words": graphs.changed(graph, "PrimitiveStringMultiline", **words),
        "other task": graphs.changed(graph, "ICEditX2Adapter", task="remove"),
        "no fast LoRA": graphs.changed(graph, "LoraLoaderModelOnly", strength_model=0.0),
    }
    pictures = {what: (await edited(client, one)).tobytes() for what, one in changed.items()}
    assert len(set(pictures.values())) == len(changed)
    async with judge_server(scripted) as (url, calls):
        asked = graphs.changed(changed["other words"], "ICEditX2Adapter", task="auto", judge=["judge", 0])
        settings = {"url": url, "model": "scripted", "timeout": 5.0, "retries": 0, "parallel": 1}
        asked["judge"] = {"class_type": "ICEditJudgeServer", "inputs": settings}
        named = await edited(client, asked)
    assert len(calls) == 1, "the workflow gives the judge its own words"
    both = graphs.changed(changed["other words"], "ICEditX2Adapter", task="remove")
    assert np.array_equal(named, await edited(client, both))


async def test_the_best_of_several_seeds_is_what_a_ksampler_gives(client):
    """Early filter and judge work on X2Edit unchanged."""
    graph = await prepared(client, steps=4, seed=11)
    best = json.loads(json.dumps(graph))
    number = graphs.find(best, "KSampler")
    sample = best[number]["inputs"]
    settings = ("model", "positive", "negative", "latent_image", "cfg", "sampler_name", "scheduler", "steps")
    links = {"vae": graph[graphs.find(graph, "VAEDecode")]["inputs"]["vae"], "judge": ["judge", 0]}
    links["source"] = graph[graphs.find(graph, "ICEditKeepUnedited")]["inputs"]["source"]
    plan = {"seed": 9, "count": 3, "early_steps": 2, "batch": 1, "instruction": "make it red", "method": "knockout"}
    plan |= {"both_orders": False, "good_enough": 0.0}
    best[number] = {"class_type": "ICEditBestOf", "inputs": {key: sample[key] for key in settings} | links | plan}
    async with judge_server(says_two) as (url, calls):
        judge = {"url": url, "model": "tiny", "timeout": 20.0, "retries": 0, "parallel": 4}
        best["judge"] = {"class_type": "ICEditJudgeServer", "inputs": judge}
        chosen = await edited(client, best)
    assert len(calls) == 2, "the last of three is the best"
    assert np.array_equal(chosen, await edited(client, graph))
    assert not np.array_equal(chosen, await edited(client, graphs.changed(graph, "KSampler", seed=9)))


async def test_interrupt_ends_the_run_at_once_and_leaves_the_model_clean(client):
    graph = await prepared(client, steps=2)
    expected = await edited(client, graph)
    steps, stopping = [], []

    def stop_when_it_samples(step):
        if step.node_type == "KSampler" and step.value:
            steps.append(step.value)
            if not stopping:
                stopping.append(asyncio.ensure_future(client.interrupt()))

    with pytest.raises(ExecutionInterrupted, match="KSampler"):
        await client.run(graphs.changed(graph, "KSampler", steps=5000, seed=3), stop_when_it_samples, timeout=200)
    assert steps[-1] < 1000, "of the 5000 steps asked for"
    await client.free()
    assert np.array_equal(await edited(client, graph), expected)


def without(tensors, part):
    return {key: value for key, value in tensors.items() if part not in key}


def not_finite(tensors):
    key = next(key for key in tensors if key.endswith("gate.weight"))
    return tensors | {key: torch.full_like(tensors[key], float("nan"))}


BAD = {
    "no tasks": (lambda all: without(all, "task_embeddings"), "routers read the task embeddings too"),
    "no AlignNet": (lambda all: without(all, "align."), "there is no AlignNet in it"),
    "an expert missing": (lambda all: without(all, "experts.3."), "but its gate picks among 12"),
    "not finite": (not_finite, "gate.weight"),
    "ICEdit's": (None, "ICEdit's MoE-LoRA .*Load ICEdit's with ICEdit Load LoRA on FLUX.1 Fill"),
    "cut off": (b"", "cut_off.safetensors cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_file_is_named_and_the_next_run_is_right(client, server, case):
    change, words = BAD[case]
    folder = server.base / "models" / "loras"
    good = await prepared(client, steps=1)
    expected = await edited(client, good)
    name = MOE_LORA if change is None else f"{case.replace(' ', '_')}.safetensors"
    if isinstance(change, bytes):
        (folder / name).write_bytes((folder / ADAPTER).read_bytes()[:5000])
    elif change:
        save_file(change(load_file(folder / ADAPTER)), folder / name)
    bad = json.loads(json.dumps(good))
    for kind in ("ICEditX2Adapter", "ICEditX2Prompt"):
        bad[graphs.find(bad, kind)]["inputs"]["adapter_name"] = name
    with pytest.raises(ExecutionFailed, match=words) as caught:
        await client.run(bad, timeout=200)
    assert caught.value.node_type in ("ICEditX2Adapter", "ICEditX2Prompt")
    assert caught.value.exception_type == "ValueError"
    await client.free()
    assert np.array_equal(await edited(client, good), expected)


async def test_another_text_encoder_and_fill_in_the_place_of_dev_are_named(client, server):
    other = await prepared(client, steps=1)
    other[graphs.find(other, "SmallQwen")] |= {"class_type": "ICEditDemoModel", "inputs": {}}
    text = graphs.find(other, "ICEditX2Prompt")
    other[text]["inputs"]["clip"][1] = 1
    with pytest.raises(ExecutionFailed, match="but Qwen2.5-VL 7B is needed.*type qwen_image"):
        await client.run(other, timeout=200)
    server.place_model("diffusion_models/fill.safetensors", graphs.WEIGHTS / "icedit_demo_fill.safetensors")
    fill = graphs.changed(await prepared(client, steps=1), "UNETLoader", unet_name="fill.safetensors")
    with pytest.raises(ExecutionFailed, match="the model is FLUX.1 Fill, but X2Edit was trained on FLUX.1 dev"):
        await client.run(fill, timeout=200)
