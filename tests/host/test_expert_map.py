"""The expert map on the real host: what the routers decide in one model call, and a model that is left as it was."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from icedit_core.client import ExecutionFailed

from . import condition_case as conditions
from . import flux_case as case
from . import graphs

TEXT = 12  # tokens of `conditioning`
LATENT = {"samples": torch.randn(1, *conditions.LATENT, generator=torch.Generator().manual_seed(1))}


@pytest.fixture(scope="module")
def ours(pack):
    from icedit_pack.icedit_core.adapters.readers import read
    from icedit_pack.nodes.expert_map import ICEditExpertMap
    from icedit_pack.nodes.host import adapters, expert_map

    def attach(model, tensors, **more):
        return adapters.attach(model, read(tensors), **({"strength": 1.0, "top_k": 1} | more))

    def look(model, latent=LATENT, sigma=0.6, seed=3, positive=None):
        with torch.no_grad():
            return expert_map.look(model, positive or conditions.conditioning(TEXT), latent, sigma, seed)

    return SimpleNamespace(attach=attach, look=look, routings=adapters.routings, node=ICEditExpertMap)


@pytest.fixture
def model(pack):
    return case.load(case.weights())


def other(tensors):
    """The same adapter with its experts in another order."""
    return {key: value.flip(0) if "lora_route" in key else value for key, value in tensors.items()}


def test_every_token_has_the_expert_that_its_router_scores_highest(ours, model):
    tensors, network = conditions.published(), model.model.diffusion_model
    inputs, calls = {}, []
    hooks = [
        network.get_submodule(module).register_forward_hook(
            lambda _m, given, _o, module=module: inputs.update({module: given[0].clone()})
        )
        for module in conditions.LAYERS.values()
    ]
    hooks.append(network.register_forward_pre_hook(lambda *_: calls.append(1)))
    seen = ours.look(ours.attach(model, tensors, name="moe.safetensors"))
    for hook in hooks:
        hook.remove()
    assert len(calls) == 1, "one model call"
    ((adapter,),) = seen.adapters
    assert adapter.name == "moe.safetensors"
    shown = {layer.module: layer.gates for layer in adapter.layers}
    blocks = (
        "double_blocks.0.img_mlp.2",
        "double_blocks.1.img_mlp.2",
        "single_blocks.0.linear2",
        "single_blocks.1.linear2",
    )
    assert tuple(shown) == blocks, "in the order of the model, not of the file"
    for name, module in conditions.LAYERS.items():
        tokens = inputs[module][0, -32:]  # of a single block the text's tokens come first
        expected = (tokens @ tensors[f"transformer.{name}.lora_route.weight"].float().T).argmax(-1)
        assert shown[module].shape == (4, 8, 4)
        assert torch.equal(shown[module].flatten(0, 1).argmax(-1), expected)
        assert torch.equal(shown[module].sum(-1), torch.ones(4, 8))


def test_the_input_is_what_a_sampler_has_at_that_sigma(ours, model):
    """Of the first of two steps from sigma 0.6."""
    got = []
    model.model.diffusion_model.register_forward_pre_hook(lambda _m, given: got.append(given[0].clone()))
    latent = LATENT | {"noise_mask": torch.zeros(1, 1, 8, 16)}
    ours.look(ours.attach(model, conditions.published()), latent, sigma=0.6, seed=3)
    noise = torch.randn(1, *conditions.LATENT, generator=torch.manual_seed(3))
    clean = model.model.process_latent_in(LATENT["samples"])
    assert torch.allclose(got[0][:, :16], 0.6 * noise + 0.4 * clean, atol=1e-5)


def test_sigma_seed_and_latent_change_what_is_seen(ours, model):
    adapted = ours.attach(model, conditions.published())

    def maps(**given):
        return [layer.gates for layer in ours.look(adapted, **given).adapters[0][0].layers]

    base = maps()
    for given in ({"sigma": 0.9}, {"seed": 4}, {"latent": {"samples": -9 * LATENT["samples"]}}):
        assert any(not torch.equal(a, b) for a, b in zip(base, maps(**given), strict=True)), given
    assert all(torch.equal(a, b) for a, b in zip(base, maps(), strict=True))


def test_the_model_is_left_as_it_was_also_after_an_exception(ours, model):
    adapted = ours.attach(model, conditions.published())
    before = conditions.sample(adapted)
    ((_, modules),) = ours.routings(adapted)
    layers = [layer for several in modules.values() for layer in several]
    gatings, options = [layer.gating for layer in layers], str(adapted.model_options)

    def check():
        assert [layer.gating for layer in layers] == gatings and str(adapted.model_options) == options
        assert all("forward" not in vars(module) for module in model.model.diffusion_model.modules())
        assert torch.equal(conditions.sample(adapted), before)

    ours.look(adapted)
    check()

    def fail(*_):
        raise RuntimeError("cancelled")

    hook = model.model.diffusion_model.single_blocks[0].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="cancelled"):
        ours.look(adapted)
    hook.remove()
    check()


@pytest.mark.slow
def test_a_compiled_model_is_looked_at_without_compiling_anything(ours, model):
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    compilations = []

    def backend(graph, _inputs):
        compilations.append(graph)
        return graph.forward

    adapted = ours.attach(model, conditions.published())
    plain = ours.look(adapted).adapters[0][0].layers
    compiled = adapted.clone()
    set_torch_compile_wrapper(compiled, backend)
    seen = ours.look(compiled).adapters[0][0].layers
    assert not compilations
    assert all(torch.equal(a.gates, b.gates) for a, b in zip(plain, seen, strict=True))
    conditions.sample(compiled, sigmas=(1.0, 0.0))
    assert compilations, "the model itself stays compiled"


def test_stacked_adapters_are_named_and_seen_each_for_itself(ours, model):
    first = ours.attach(model, conditions.published(), name="first")
    both = ours.attach(first, other(conditions.published()), name="second", strength=0.5, top_k=2)
    ((a, b),) = ours.look(both).adapters
    assert (a.name, b.name) == ("first", "second") and len(a.layers) == len(b.layers) == 4
    assert all((layer.gates > 0).sum(-1).unique().tolist() == [1] for layer in a.layers)
    assert all((layer.gates > 0).sum(-1).unique().tolist() == [2] for layer in b.layers)
    # Before anything is added both read the same tokens, and the second's experts are counted backwards.
    assert torch.equal(a.layers[0].gates.argmax(-1), 3 - b.layers[0].gates.argmax(-1))


def test_each_image_of_a_batch_has_its_map(ours, model):
    adapted = ours.attach(model, conditions.published())
    two = torch.cat([LATENT["samples"], -2 * LATENT["samples"]])
    seen = ours.look(adapted, {"samples": two})
    assert len(seen.adapters) == 2
    pairs = zip(*(adapter.layers for (adapter,) in seen.adapters), strict=True)
    assert any(not torch.equal(a.gates, b.gates) for a, b in pairs)


@pytest.mark.parametrize("where", ["latent", "conditioning", "nowhere"])
def test_the_mask_says_which_tokens_are_repainted(ours, model, where):
    mask = torch.zeros(1, 64, 128)
    mask[:, 20:30, 64:] = 1
    latent = LATENT | ({"noise_mask": mask} if where == "latent" else {})
    more = {"concat_mask": mask[:, None]} if where == "conditioning" else {}
    adapted = ours.attach(model, conditions.published())
    seen = ours.look(adapted, latent, positive=conditions.conditioning(TEXT, **more))
    if where == "nowhere":
        assert seen.repainted is None
    else:
        expected = torch.zeros(1, 4, 8, dtype=torch.bool)
        expected[:, 1, 4:] = True
        assert torch.equal(seen.repainted, expected)


@pytest.mark.parametrize("given", ["nothing", "plain", "strength 0"])
def test_a_model_without_experts_is_refused_in_words(ours, model, given):
    plain = {key: value for key, value in conditions.published().items() if not conditions.is_routed(key)}
    if given != "nothing":
        model = ours.attach(
            model, plain if given == "plain" else conditions.published(), strength=float(given[-1] != "0")
        )
    with pytest.raises(ValueError, match="no adapter with experts, but one is needed. Load a MoE-LoRA"):
        ours.look(model)


def test_a_conditioning_that_is_not_in_force_is_refused_in_words(ours, model):
    late = conditions.conditioning(TEXT, start_percent=0.9)
    with pytest.raises(
        ValueError, match="did not call all layers of the adapter at sigma 0.9, but they are needed. Use FLUX"
    ):
        ours.look(ours.attach(model, conditions.published()), positive=late, sigma=0.9)


@pytest.fixture(scope="module")
def adapter(server, tmp_path_factory):
    """A small MoE-LoRA for the demo model, on the server."""
    weights = load_file(graphs.WEIGHTS / "icedit_demo_fill.safetensors")
    path = tmp_path_factory.mktemp("loras") / "map.safetensors"
    save_file(case.random_adapter(weights, torch.Generator().manual_seed(0), rank=4), path)
    server.place_model("loras/map.safetensors", path)
    return path.name


def with_map(adapter):
    """The demo workflow in two steps, with the adapter and a map of its experts."""
    graph = graphs.with_adapter(graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=2), adapter)
    condition = graphs.find(graph, "InpaintModelConditioning")
    inputs = {"positive": [condition, 0], "latent": [condition, 2], "vae": graph[condition]["inputs"]["vae"]}
    inputs |= {"model": graph[graphs.find(graph, "KSampler")]["inputs"]["model"]}
    inputs |= {"sigma": 0.7, "seed": 0, "blocks": "all", "number": 0}
    return graph | {"map": {"class_type": "ICEditExpertMap", "inputs": inputs}}


async def test_in_the_demo_workflow(client, adapter):
    graph = with_map(adapter)
    result = await client.run(graph, timeout=120)
    (ref,) = result.images("map")
    assert ref.type == "temp" and len(await client.download(ref)) > 1000
    assert "map.safetensors" in result.text("map") and "experts 0, 1, ..." in result.text("map")
    beside = await graphs.picture(client, result)
    del graph["map"]
    await client.free()
    assert (await graphs.picture(client, await client.run(graph, timeout=120)) == beside).all()


async def test_without_an_adapter_the_error_names_the_remedy(client, adapter):
    graph = with_map(adapter)
    for node in graph.values():
        if node["class_type"] == "ICEditLoadLoRA":  # the demo's own and the one of this test
            node["inputs"]["strength"] = 0.0
    with pytest.raises(ExecutionFailed, match="ICEdit Expert Map: this model has no adapter with experts"):
        await client.run(graph, timeout=120)
