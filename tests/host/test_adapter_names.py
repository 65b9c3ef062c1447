"""Names of layers on the real host: any subset of them, in any naming that files use, gives the same velocity."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import flux_case as case

CORPUS = sorted((Path(__file__).parents[1] / "fixtures" / "adapter_corpus").glob("*.safetensors"))
LAYERS = {  # diffusers' name -> the host's, None where the host fuses it with others
    "x_embedder": "img_in",
    "transformer_blocks.0.norm1.linear": "double_blocks.0.img_mod.lin",
    "transformer_blocks.0.attn.to_q": None,
    "transformer_blocks.1.attn.to_v": None,
    "transformer_blocks.1.attn.to_out.0": "double_blocks.1.img_attn.proj",
    "transformer_blocks.0.ff.net.2": "double_blocks.0.img_mlp.2",
    "transformer_blocks.1.ff.net.0.proj": "double_blocks.1.img_mlp.0",
    "single_transformer_blocks.0.norm.linear": "single_blocks.0.modulation.lin",
    "single_transformer_blocks.0.proj_mlp": None,
    "single_transformer_blocks.1.proj_out": "single_blocks.1.linear2",
    "proj_out": "final_layer.linear",
}
DIFFUSERS = (
    "",
    "transformer.",
    "base_model.model.",
    "base_model.model.transformer.",
    "transformer.base_model.model.",
    "lycoris_",
    "lora_transformer_",
)
HOST = (
    "",
    "diffusion_model.",
    "base_model.model.",
    "base_model.model.diffusion_model.",
    "transformer.",
    "lora_unet_",
)
steady = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def host(pack):
    from icedit_pack.icedit_core.adapters import files, readers
    from icedit_pack.nodes.host import adapters

    return SimpleNamespace(
        attach=adapters.attach, read=readers.read, load=files.load, model=case.load(case.weights()), base=case.weights()
    )


@st.composite
def subsets(draw):
    """Layers of the recorded model, each plain or with a few experts: (layer, experts or 0, rank)."""
    layers = draw(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=4, unique=True))
    return [(layer, draw(st.integers(0, 5)), draw(st.integers(1, 4))) for layer in layers]


def tensors_of(base, subset, name):
    """The tensors of a file; `name` turns diffusers' name of a layer into the file's."""
    noise, tensors = torch.Generator().manual_seed(len(subset)), {}
    for layer, experts, rank in subset:
        out, wide = base[f"{layer}.weight"].shape
        if experts:
            tensors[f"{name(layer)}.lora_route.weight"] = torch.randn(experts, wide, generator=noise)
        for middle in [f".expert_{index}" for index in range(experts)] or [""]:
            tensors[f"{name(layer)}.lora_A{middle}.weight"] = torch.randn(rank, wide, generator=noise) / wide**0.5
            tensors[f"{name(layer)}.lora_B{middle}.weight"] = torch.randn(out, rank, generator=noise) * 0.1
    return tensors


def in_naming(prefix, of_host):
    def name(layer):
        own = LAYERS[layer] if of_host else layer
        if own is None:  # has no name of its own in the host
            return f"transformer.{layer}"
        return prefix + (own.replace(".", "_") if prefix.endswith("_") else own)

    return name


@settings(steady, max_examples=12)
@given(
    subset=subsets(),
    naming=st.one_of(
        st.tuples(st.sampled_from(DIFFUSERS), st.just(False)), st.tuples(st.sampled_from(HOST), st.just(True))
    ),
)
def test_any_subset_in_any_naming_gives_the_same_bits(host, subset, naming):
    velocities = []
    for name in (in_naming("transformer.", False), in_naming(*naming)):
        adapter = host.read(tensors_of(host.base, subset, name))
        velocities.append(case.evaluate(host.attach(host.model, adapter, 1.0, 1))[0])
    assert torch.equal(*velocities)
    assert case.error(velocities[0], case.recorded()["out_base"]) > 1e-4


@pytest.mark.parametrize(("prefix", "of_host"), [(p, False) for p in DIFFUSERS] + [(p, True) for p in HOST])
def test_every_naming_finds_every_layer(host, prefix, of_host):
    subset = [(layer, 0, 1) for layer in LAYERS]
    adapter = host.read(tensors_of(host.base, subset, in_naming(prefix, of_host)))
    patched = host.attach(host.model, adapter, 1.0, 1).patches
    assert sum(len(patches) for patches in patched.values()) == len(LAYERS)


@settings(steady, max_examples=20)
@given(
    subset=subsets(),
    stranger=st.sampled_from(("transformer.transformer_blocks.2.ff.net.2", "img_in_", "double_blocks.0.img_mlp", "x")),
    first=st.booleans(),
)
def test_a_layer_that_the_model_lacks_is_always_an_error_that_lists_it(host, subset, stranger, first):
    good = tensors_of(host.base, subset, in_naming("transformer.", False))
    bad = {f"{stranger}.lora_A.weight": torch.ones(1, 128), f"{stranger}.lora_B.weight": torch.ones(128, 1)}
    with pytest.raises(
        ValueError, match=f"1 of {len(subset) + 1} layers of the file are not in this model .*"
    ) as caught:
        host.attach(host.model, host.read(bad | good if first else good | bad), 1.0, 1)
    assert f": {stranger}. " in str(caught.value)


def test_damaged_files_leave_the_model_as_it_was(host):
    before, _ = case.evaluate(host.model)
    refused = 0
    for path in CORPUS:
        try:
            host.attach(host.model, host.load(path)[0], 1.0, 1)
        except ValueError as error:
            refused += 1
            assert path.name in str(error) or "but this model's has" in str(error)
    assert refused == len(CORPUS) > 20
    assert not host.model.patches and torch.equal(case.evaluate(host.model)[0], before)
