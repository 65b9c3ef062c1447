"""A diptych for a model, or from a VAE, that cannot fill it: refused by name before anything is sampled."""

import re
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from devtools.workflows import MOE_LORA
from icedit_core.client import ExecutionFailed

from . import flux_case as case
from . import graphs
from .test_candidates_models import FLUX2, KONTEXT, QWEN, drawn, through_the_loader, without_the_loader
from .test_filter_workflows import with_small_encoders
from .test_workflows import small_picture

SD15 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "num_heads": 2, "use_spatial_transformer": True, "transformer_depth": [1, 0],
    "transformer_depth_output": [1, 1, 0, 0], "transformer_depth_middle": 1, "context_dim": 32,
    "use_linear_in_transformer": False, "adm_in_channels": None,
}  # fmt: skip
OTHERS = {
    # name: (the model, what the message calls it, shape of its latent)
    "flux_dev": (
        lambda: through_the_loader("Flux", KONTEXT),
        r"FLUX.1 dev or Kontext \(input layer of 64, Fill's has 384\)",
        (1, 16, 8, 16),
    ),
    "flux_canny": (
        lambda: through_the_loader("Flux", KONTEXT | {"in_channels": 32}),
        r"FLUX.1 Canny or Depth \(input layer of 128",
        (1, 16, 8, 16),
    ),
    "flux_schnell": (
        lambda: through_the_loader("FluxSchnell", KONTEXT | {"guidance_embed": False}),
        r"FLUX.1 schnell \(input layer of 64",
        (1, 16, 8, 16),
    ),
    "flux2": (lambda: through_the_loader("Flux2", FLUX2), "the model is FLUX.2, but", (1, 128, 4, 8)),
    "qwen_image": (lambda: without_the_loader("QwenImage", QWEN), "the model is Qwen-Image, but", (1, 16, 8, 16)),
    "sd15": (lambda: without_the_loader("SD15", SD15), "the model is Stable Diffusion 1.5, but", (1, 4, 8, 16)),
}


@pytest.fixture(scope="module")
def ours(pack):
    from icedit_pack.icedit_core.adapters.readers import read
    from icedit_pack.nodes.host import adapters, expert_map, fill, sampling

    return SimpleNamespace(
        attach=adapters.attach, read=read, look=expert_map.look, fill=fill, begin=sampling.begin, recipe=sampling.Recipe
    )


@pytest.fixture(scope="module", params=OTHERS)
def other(request, pack):
    make, name, shape = OTHERS[request.param]
    return SimpleNamespace(model=make(), name=name, shape=shape)


def diptych(shape, half="right", picture=None):
    """What InpaintModelConditioning gives: (positive, latent)."""
    mask = torch.zeros(1, 1, 8 * shape[-2], 8 * shape[-1])
    side = slice(mask.shape[-1] // 2, None) if half == "right" else slice(None)
    mask[..., side] = 1
    values = {"pooled_output": drawn(1, 24), "concat_latent_image": drawn(*(picture or shape)), "concat_mask": mask}
    return [[drawn(1, 7, 32), values]], {"samples": drawn(*shape), "noise_mask": mask}


def recipe(ours, model, positive, latent):
    return ours.recipe(model, positive, positive, latent, 4, 1.0, "euler", "simple")


def fail_if_called(model):
    def called(*_):
        raise AssertionError("the model was called")

    return model.model.diffusion_model.register_forward_pre_hook(called)


def test_every_node_names_the_model_before_it_is_called(ours, other):
    positive, latent = diptych(other.shape)
    lora = ours.read({f"transformer.x_embedder.lora_{side}.weight": torch.ones(2, 2) for side in "AB"})
    hook = fail_if_called(other.model)
    calls = {
        "ICEdit Candidates": lambda: ours.begin(recipe(ours, other.model, positive, latent), 0, 2, 1),
        "ICEdit Expert Map": lambda: ours.look(other.model, positive, latent, 0.5, 0),
        "ICEdit Load LoRA": lambda: ours.attach(other.model, lora, 1.0, 1),
    }
    for who, call in calls.items():
        with pytest.raises(ValueError, match=f"{who}: the model is .*FLUX.1 Fill is needed.*flux1-fill-dev") as caught:
            call()
        assert re.search(other.name, str(caught.value)), who
    hook.remove()


def test_other_editors_keep_their_conditioning(ours, other):
    """No diptych in it: a reference latent, an inpainting of anything else, a mask of the latent alone."""
    _, latent = diptych(other.shape)
    reference = [[drawn(1, 7, 32), {"reference_latents": [drawn(*other.shape)]}]]
    for positive, given in ((reference, latent), diptych(other.shape, half="all"), ([[drawn(1, 7, 32), {}]], latent)):
        ours.fill.check(other.model, positive, given, "a node")


def test_fill_passes_and_a_lora_that_widens_the_input_counts(ours, pack):
    from comfy.weight_adapter import LoRAAdapter

    positive, latent = diptych((1, 16, 8, 16))
    ours.fill.check(case.load(case.weights()), positive, latent, "a node")
    dev = through_the_loader("Flux", KONTEXT)
    wide = LoRAAdapter(set(), (torch.ones(128, 2), torch.ones(2, 384), 2.0, None, None, [128, 384]))
    dev.add_patches({"diffusion_model.img_in.weight": wide}, 1.0)
    ours.fill.check(dev, positive, latent, "a node")


@pytest.mark.parametrize(
    ("shape", "picture"),
    [((1, 4, 8, 16), None), ((1, 16, 1, 8, 16), None), ((1, 16, 8, 16), (1, 128, 4, 8))],
    ids=["sd", "wan", "flux2"],
)
def test_a_latent_of_another_vae_is_refused(ours, pack, shape, picture):
    positive, latent = diptych(shape, picture=picture)
    model = case.load(case.weights())
    fail_if_called(model)
    wrong = ", ".join(map(str, picture or shape))
    words = rf"latent is of shape \({wrong}\), but FLUX.1's is \(B, 16, H/8, W/8\).*ae.safetensors"
    with pytest.raises(ValueError, match=f"ICEdit Candidates: the {words}"):
        ours.begin(recipe(ours, model, positive, latent), 0, 2, 1)
    with pytest.raises(ValueError, match=f"ICEdit Expert Map: the {words}"):
        ours.look(model, positive, latent, 0.5, 0)
    with pytest.raises(ValueError, match=f"ICEdit Load LoRA: the {words}"):
        sample(ours.fill.watched(ours.fill.watched(model.clone(), "a"), "ICEdit Load LoRA"), positive, latent)


def test_stock_samplers_of_a_watched_model_run_as_before(ours, pack):
    positive, latent = diptych((1, 16, 8, 16))
    positive[0][0] = drawn(1, 7, case.weights()["context_embedder.weight"].shape[1])
    positive[0][1]["pooled_output"] = case.recorded()["pooled"][:1]
    model = case.load(case.weights())
    assert torch.equal(sample(ours.fill.watched(model.clone(), "a"), positive, latent), sample(model, positive, latent))


def sample(model, positive, latent):
    import nodes

    with torch.no_grad():
        return nodes.common_ksampler(model, 0, 2, 1.0, "euler", "simple", positive, positive, latent)[0]["samples"]


def sd_vae():
    """Stable Diffusion's small autoencoder with random weights: 4 channels where FLUX.1's has 16."""
    from comfy.taesd.taesd import TAESD

    parts = TAESD(latent_channels=4).state_dict().items()
    return {key: value.contiguous() for key, value in parts if key.startswith("taesd_")}


def flux_dev():
    """The demo's FLUX.1 Fill cut to what FLUX.1 dev reads."""
    weights = load_file(graphs.WEIGHTS / graphs.PUBLISHED["diffusion_models/flux1-fill-dev.safetensors"])
    return weights | {"x_embedder.weight": weights["x_embedder.weight"][:, :64].contiguous()}


async def refused(client, server, graph, words, files):
    """The node that refuses the workflow, run on small files."""
    await client.upload_image(small_picture(), "example.png", overwrite=True)
    lora = {f"loras/{MOE_LORA}": graphs.ROOT / "demo" / "loras" / "icedit_demo_moe_lora.safetensors"}
    with graphs.small_files(server, lora | files), pytest.raises(ExecutionFailed, match=words) as caught:
        await client.run(with_small_encoders(graph), timeout=120)
    return caught.value.node_type


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("icedit_training_free", {"ICEditDiptych"}),
        ("icedit_flux_fill", {"ICEditDiptych", "ICEditLoadLoRA"}),
        ("icedit_multi_turn", {"ICEditLoadLoRA"}),
    ],
)
async def test_a_flux_workflow_names_flux_dev_before_it_samples(client, server, tmp_path, name, nodes):
    file = tmp_path / "dev.safetensors"
    save_file(flux_dev(), file)
    graph = graphs.changed(graphs.shipped(name), "UNETLoader", unet_name=file.name)
    files = {f"diffusion_models/{file.name}": file}
    assert await refused(client, server, graph, "the model is FLUX.1 dev or Kontext", files) in nodes


async def test_a_wrong_vae_is_named_before_a_stock_sampler_runs(client, server, host_modules, tmp_path):
    file = tmp_path / "sd.safetensors"
    save_file(sd_vae(), file)
    graph = graphs.changed(graphs.shipped("icedit_flux_fill"), "VAELoader", vae_name=file.name)
    files = {f"vae/{file.name}": file}
    assert await refused(client, server, graph, "Load LoRA: .*another model's VAE", files) == "KSampler"


def sampled_by(node, **more):
    """FLUX.1 dev in the graph without a LoRA, ICEdit Diptych's `model` open, its KSampler replaced."""
    graph = graphs.changed(graphs.shipped("icedit_training_free"), "UNETLoader", unet_name="dev.safetensors")
    del graph[graphs.find(graph, "ICEditDiptych")]["inputs"]["model"]
    sampler = graph[graphs.find(graph, "KSampler")]
    sampler["class_type"] = node
    del sampler["inputs"]["denoise"]
    sampler["inputs"] |= {"count": 2, "early_steps": 2, "batch": 1} | more
    return graph


@pytest.mark.parametrize("node", ["ICEditCandidates", "ICEditBestOf"])
async def test_nodes_that_sample_name_flux_dev_without_a_lora(client, server, tmp_path, node):
    graph = sampled_by(node)
    number = graphs.find(graph, node)
    if node == "ICEditBestOf":
        graph["judge"] = {"class_type": "ICEditJudgePerson", "inputs": {}}
        vae, source = graphs.find(graph, "VAELoader"), graphs.find(graph, "LoadImage")
        graph[number]["inputs"] |= {"vae": [vae, 0], "source": [source, 0], "judge": ["judge", 0], "instruction": "x"}
        graph[number]["inputs"] |= {"method": "knockout", "both_orders": True, "good_enough": 0.0}
        graph[number]["inputs"]["layout"] = [graphs.find(graph, "ICEditDiptych"), 2]
    else:
        for later in graph.values():  # the decoder takes the previews
            for name, value in later["inputs"].items():
                later["inputs"][name] = [number, 1] if value == [number, 0] else value
    file = tmp_path / "dev.safetensors"
    save_file(flux_dev(), file)
    files = {f"diffusion_models/{file.name}": file}
    words = "ICEdit Candidates: the model is FLUX.1 dev or Kontext"
    assert await refused(client, server, graph, words, files) == node
