"""X2Edit's node in a graph of stock nodes on the real server; files of other methods are named."""

import io
import math
import re

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from devtools.workflows import MOE_LORA
from icedit_core.client import ExecutionFailed
from icedit_core.judges.server import ServerJudge
from icedit_core.x2edit import task_question

from . import graphs
from .test_rank import judge_server
from .test_workflows import small_picture
from .test_wrong_models import flux_dev

RANK, EXPERTS, TASKS = 4, 12, 16


def random_x2edit(weights):
    """A file that `icedit convert` could have made for weights in diffusers' naming, less AlignNet."""
    draw = torch.Generator().manual_seed(0)
    width = weights["x_embedder.weight"].shape[0]

    def matrix(*shape):
        return torch.randn(shape, generator=draw) / math.sqrt(shape[1])

    tensors = {"task_embeddings.weight": torch.randn(TASKS, width, generator=draw)}
    for block in sorted({m[0] for key in weights if (m := re.match(r"(single_)?transformer_blocks\.\d+", key))}):
        for part in ("q", "k", "v") if block.startswith("single") else ("q", "k", "v", "proj"):
            layer = f"{block}.attn.processor.{part}_moe_lora"
            tensors[f"{layer}.gate.weight"] = matrix(EXPERTS, 2 * width)
            for pair in (*(f"experts.{i}" for i in range(EXPERTS)), "shared_experts"):
                tensors[f"{layer}.{pair}.down.weight"] = matrix(RANK, width)
                tensors[f"{layer}.{pair}.up.weight"] = 0.3 * matrix(width, RANK)
    return tensors


@pytest.fixture(scope="module")
def placed(server, tmp_path_factory):
    """FLUX.1 dev and X2Edit in small, on the server."""
    folder = tmp_path_factory.mktemp("x2edit")
    weights = flux_dev()
    save_file(weights, folder / "dev.safetensors")
    save_file(random_x2edit(weights), folder / "x2edit.safetensors")
    files = {"diffusion_models/dev.safetensors": "dev", "loras/x2edit.safetensors": "x2edit"}
    more = {name: folder / f"{file}.safetensors" for name, file in files.items()}
    more[f"loras/{MOE_LORA}"] = graphs.ROOT / "demo" / "loras" / "icedit_demo_moe_lora.safetensors"
    with graphs.small_files(server, more):
        yield


def graph(task="color", adapter="x2edit.safetensors", strength=1.0, source=True):
    """Stock nodes around ICEdit X2 Adapter, 2 steps."""
    nodes = {
        "model": ("UNETLoader", {"unet_name": "dev.safetensors", "weight_dtype": "default"}),
        "clip": ("ICEditDemoModel", {}),  # DualCLIPLoader fixes its encoders' sizes
        "vae": ("VAELoader", {"vae_name": "ae.safetensors"}),
        "image": ("LoadImage", {"image": "example.png"}),
        "size": ("ImageScale", {"image": ["image", 0], "width": 64, "height": 96, "crop": "disabled",
                                "upscale_method": "bilinear"}),
        "latent": ("VAEEncode", {"pixels": ["size", 0], "vae": ["vae", 0]}),
        "x2": ("ICEditX2Adapter", {"model": ["model", 0], "adapter_name": adapter, "task": task, "strength": strength}),
        "words": ("CLIPTextEncode", {"clip": ["clip", 1], "text": "make it red"}),
        "source": ("ReferenceLatent", {"conditioning": ["words", 0], "latent": ["latent", 0]}),
        "sampler": ("KSampler", {"model": ["x2", 0], "positive": ["source" if source else "words", 0],
                                 "negative": ["words", 0], "latent_image": ["latent", 0], "seed": 0, "steps": 2,
                                 "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}),
        "picture": ("VAEDecode", {"samples": ["sampler", 0], "vae": ["vae", 0]}),
        "save": ("SaveImage", {"images": ["picture", 0], "filename_prefix": "x2edit"}),
    }  # fmt: skip
    return {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in nodes.items()}


async def picture(client, nodes=None, **how):
    """The pixels alone: the file also holds the workflow."""
    await client.upload_image(small_picture(), "example.png", overwrite=True)
    result = await client.run(nodes or graph(**how), timeout=120)
    return Image.open(io.BytesIO(await client.download(result.images()[0]))).tobytes()


INSTRUCTIONS = {  # four for each task
    "remove": ("Take the hat away", "Erase the car", "Get rid of the sign", "Delete the person on the left"),
    "add": ("Put a cat on the sofa", "Give him glasses", "Place a tree by the house", "Insert a moon"),
    "style": ("As a watercolour", "Turn it into an oil painting", "Make it anime", "In Lego"),
    "background": ("Put her on a beach", "Behind him a forest", "Swap the room for a street", "Plain white behind it"),
    "color": ("Make the car red", "Dye her hair green", "A blue door", "Turn the black cat white"),
    "material": ("Make the statue of wood", "A glass table", "A golden cup", "The jacket in leather"),
    "action": ("Let him jump", "She should wave", "The dog sits", "Raise his arms"),
    "replace": ("A dog instead of the cat", "Swap the apple for a pear", "Change the bike to a car", "Tea for coffee"),
    "portrait": ("Smoother skin", "Make her smile", "Ten years younger", "Remove his wrinkles"),
    "text": ("Change 'STOP' to 'GO'", "Write Hello on the wall", "The title should read 2026", "Erase the word sale"),
    "tone": ("At sunset", "In winter", "Darker and moody", "Warm evening light"),
    "camera": ("Seen from above", "Zoom out", "Move the cup left", "Rotate the car"),
    "implicit change": ("What if it rains", "In an hour", "After the ice melts", "When the glass falls"),
    "low level": ("The edges of it", "A picture from this depth map", "A line drawing of it", "Canny to image"),
    "subject": ("A sticker of this toy", "This dog on the moon", "The bag in a shop window", "This man as a knight"),
}
SAYS = ("{}", "**{}**", "The kind is: {}.", "<think>hm, add or text?</think>{}")


async def scripted(_number, body):
    """A model that knows the table and words its answers in several ways."""
    question = body["messages"][0]["content"]
    for task, known in INSTRUCTIONS.items():
        for index, instruction in enumerate(known):
            if f"\n\n{instruction}\n\n" in question:
                return SAYS[index].format(task)
    return "I am a language model and would rather talk about bananas."


async def test_a_model_behind_a_server_names_the_tasks_of_60_instructions():
    async with judge_server(scripted) as (url, calls):
        judge = ServerJudge(url, "scripted")
        for task, known in INSTRUCTIONS.items():
            for instruction in known:
                assert await task_question.named(judge, instruction) == (task, "")
        assert len(calls) == 60
        name, note = await task_question.named(judge, "Bananas")
        assert name == "other" and "which names no task: other is taken" in note


def by_judge(url, instruction):
    nodes = graph(task="auto")
    nodes["x2"]["inputs"] |= {"judge": ["judge", 0], "instruction": instruction}
    settings = {"url": url, "model": "scripted", "timeout": 5.0, "retries": 0, "parallel": 1}
    nodes["judge"] = {"class_type": "ICEditJudgeServer", "inputs": settings}
    return nodes


async def test_auto_is_the_task_that_the_judge_names(client, server, placed):
    async with judge_server(scripted) as (url, _):
        named = await picture(client, by_judge(url, "Take the hat away"))
        unnamed = await picture(client, by_judge(url, "Bananas"))
    assert named == await picture(client, task="remove")
    assert unnamed == await picture(client, task="other")
    assert named != unnamed
    assert "which names no task: other is taken" in server.log()


async def test_a_linked_number_obeys_its_limits_though_the_node_is_awaited(client, placed):
    nodes = graph()
    nodes["number"] = {"class_type": "PrimitiveFloat", "inputs": {"value": 11.0}}
    nodes["x2"]["inputs"]["strength"] = ["number", 0]
    with pytest.raises(ExecutionFailed, match=r"ICEdit X2 Adapter: strength is 11\.0, but a number from -10"):
        await picture(client, nodes)


async def test_auto_asks_for_a_judge(client, placed):
    with pytest.raises(ExecutionFailed, match="task is auto, but there is no judge"):
        await picture(client, task="auto")


async def test_the_size_is_the_nearest_of_x2edits(client, placed):
    nodes = graph()
    nodes["size"] = {"class_type": "ICEditX2Size", "inputs": {"image": ["image", 0]}}
    nodes["save"]["inputs"]["images"] = ["size", 0]
    await client.upload_image(small_picture(), "example.png", overwrite=True)
    kept = {key: nodes[key] for key in ("image", "size", "save")}
    result = await client.run(kept, timeout=120)
    assert Image.open(io.BytesIO(await client.download(result.images()[0]))).size == (1456, 720)


async def test_an_edit_by_stock_nodes_depends_on_adapter_and_task(client, placed):
    pictures = [await picture(client, **how) for how in ({}, {"task": "remove"}, {"strength": 0.0}, {})]
    assert pictures[0] == pictures[3]
    assert len({pictures[0], pictures[1], pictures[2]}) == 3


@pytest.mark.parametrize(
    ("how", "node", "words"),
    [
        ({"adapter": MOE_LORA}, "ICEditX2Adapter", "ICEdit's MoE-LoRA .*Load ICEdit's with ICEdit Load LoRA on FLUX.1"),
        ({"source": False}, "KSampler", "a conditioning has 0 reference latents.*ReferenceLatent"),
    ],
)
async def test_what_is_not_x2edits_is_refused(client, placed, how, node, words):
    with pytest.raises(ExecutionFailed, match=words) as caught:
        await picture(client, **how)
    assert caught.value.node_type == node


async def test_icedits_loader_names_the_node_for_x2edits_file(client, placed):
    wrong = graph()
    wrong["x2"] = {
        "class_type": "ICEditLoadLoRA",
        "inputs": {"model": ["model", 0], "lora_name": "x2edit.safetensors", "strength": 1.0},
    }
    await client.upload_image(small_picture(), "example.png", overwrite=True)
    with pytest.raises(ExecutionFailed, match="this is X2Edit's adapter .*Load it with ICEdit X2 Adapter"):
        await client.run(wrong, timeout=120)
