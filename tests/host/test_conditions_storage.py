"""Every way the host stores and computes weights: the experts' update is that of the same weights in float32."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from .. import rounding
from ..rounding import FLOAT32
from . import condition_case as conditions
from . import flux_case as case
from .condition_case import LAYERS, experts, logits

FP8 = {"fp8_e4m3fn": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}
STORED = {**FP8, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture(scope="module")
def attach(pack):
    from icedit_pack.icedit_core.adapters.readers import read
    from icedit_pack.nodes.host import adapters

    return lambda model, tensors, top_k=1: adapters.attach(model, read(tensors), 1.0, top_k)


def host_weights():
    """The recorded model's weights in the host's naming, as checkpoints are stored."""
    return {
        key.removeprefix("diffusion_model."): value.clone()
        for key, value in case.load(case.weights()).model.state_dict().items()
        if key.startswith("diffusion_model.")
    }


def load(state_dict, **options):
    import comfy.sd

    return comfy.sd.load_diffusion_model_state_dict(dict(state_dict), model_options=options)


def in_float32(model):
    """A float32 model of the numbers that `model` stores."""
    from comfy.model_patcher import get_key_weight

    twin = {}
    for key in host_weights():
        weight, _, convert = get_key_weight(model.model, f"diffusion_model.{key}")
        twin[key] = dequantised(convert(weight) if convert else weight)
    return load(twin, dtype=torch.float32)


def dequantised(weight):
    if hasattr(weight, "unpacked"):
        return weight.unpacked(torch.float32)
    if type(weight).__name__ == "GGMLTensor":
        return sys.modules["comfyui_gguf.dequant"].dequantize_tensor(weight, torch.float32).as_subclass(torch.Tensor)
    return weight.detach().float()


def matrices(weights):
    """What checkpoints quantise: the blocks' matrices."""
    return [key for key, value in weights.items() if "blocks" in key and key.endswith(".weight") and value.ndim == 2]


def compare(attach, model, record_property):
    """Errors of the model's velocity, without and with the adapter, against the same weights in float32."""
    twin, routed = in_float32(model), conditions.routed_only()
    base, changed = case.evaluate(model)[0], case.evaluate(attach(model, routed))[0]
    plain, expected = case.evaluate(twin)[0], case.evaluate(attach(twin, routed))[0]
    assert case.error(plain, expected) > 2e-3  # the experts matter here
    whole = case.evaluate(attach(model, conditions.published()))[0]
    layer, ties = layer_error(attach, model, routed)
    errors = {
        "base": case.error(base, plain),
        "experts": case.error(changed, expected),
        "base to float32": case.error(base, case.recorded()["out_base"]),
        "whole to float32": case.error(whole, case.recorded()["out_moe"]),
        "layer": layer,
    }
    record_property("errors", errors)
    record_property("near ties", ties)
    print(" ".join(f"{name} {value:.1e}" for name, value in errors.items()), f"near ties {ties}")
    assert torch.equal(case.evaluate(model)[0], base)  # and the model is what it was
    return errors


def layer_error(attach, model, routed):
    """What the experts add to a layer, against the equation in float64 on the layer's own input.

    Returns:
        the worst layer's error, and how many tokens of all layers are near ties of their two best experts.
    """
    found = []
    _, tapped = case.evaluate(attach(model, routed), LAYERS.values())
    for name, module in LAYERS.items():
        x, y = tapped[module]
        with torch.no_grad():
            added = y - model.model.diffusion_model.get_submodule(module)(x)
        answers = (experts(x, routed, name, following=following) for following in (False, True))
        found.append(rounding.compare_routed(added.double(), *answers, logits(x, routed, name), 1, x.dtype))
    return max(layer.error for layer in found), sum(layer.ties for layer in found)


def check(errors, experts, layer, whole):
    """Bounds on the velocity against the same weights in float32, on a layer, and on all against plain float32."""
    assert errors["experts"] < experts
    assert errors["layer"] < layer
    assert errors["whole to float32"] < whole


@pytest.mark.parametrize(
    ("kind", "whole"), [("fp8_e4m3fn", 0.08), ("fp8_e5m2", 0.15), ("bf16", 3e-3), ("fp16", 5e-4)], ids=str
)
def test_stored_in(attach, kind, whole, record_property):
    """`whole` is what the host's merging of the plain layers into such weights costs, as with any LoRA."""
    model = load(case.weights(), dtype=STORED[kind])
    assert model.model.diffusion_model.double_blocks[0].img_mlp[2].weight.dtype == STORED[kind]
    check(compare(attach, model, record_property), FLOAT32, FLOAT32, whole)


@pytest.mark.parametrize(("kind", "layer", "whole"), [("bf16", 0.05, 0.07), ("fp16", 0.01, 0.05)])
def test_computed_in(attach, kind, layer, whole, record_property):
    model = load(case.weights(), dtype=torch.float32)
    model.set_model_compute_dtype(STORED[kind])
    adapted = attach(model, conditions.routed_only())
    (bank,) = adapted.get_additional_models()
    assert {parameter.dtype for parameter in bank.model.parameters()} == {STORED[kind]}
    seen = case.evaluate(adapted, ["double_blocks.0.img_mlp.2"])[1]
    assert seen["double_blocks.0.img_mlp.2"][1].dtype == STORED[kind]
    check(compare(attach, model, record_property), whole, layer, whole)


QUANTISED = {  # the host's name -> (its layout, how it is quantised, what the file says besides)
    "float8_e4m3fn": ("TensorCoreFP8E4M3Layout", {"scale": "recalculate"}, {}),
    "float8_e5m2": ("TensorCoreFP8E5M2Layout", {"scale": "recalculate"}, {}),
    "int8_tensorwise": ("TensorWiseINT8Layout", {}, {}),
    "mxfp8": ("TensorCoreMXFP8Layout", {}, {}),
    "nvfp4": ("TensorCoreNVFP4Layout", {"scale": "recalculate"}, {}),
    "convrot_w4a4": ("TensorCoreConvRotW4A4Layout", {"convrot_groupsize": 64}, {"convrot_groupsize": 64}),
}


def quantised(algorithm):
    """A checkpoint in the host's own quantised format."""
    from comfy.quant_ops import QuantizedTensor

    layout, how, more = QUANTISED[algorithm]
    weights = host_weights()
    for key in matrices(weights):
        weights |= QuantizedTensor.from_float(weights.pop(key), layout, **how).state_dict(key)
        described = json.dumps({"format": algorithm, **more}).encode()
        weights[key.removesuffix("weight") + "comfy_quant"] = torch.tensor(list(described), dtype=torch.uint8)
    return weights


@pytest.mark.parametrize(
    ("algorithm", "experts", "whole"),
    [
        ("float8_e4m3fn", FLOAT32, 6e-3),
        ("float8_e5m2", FLOAT32, 1e-2),
        ("int8_tensorwise", 3e-3, 4e-3),  # the host rounds this layer's input too
        ("mxfp8", FLOAT32, 6e-3),
        ("nvfp4", FLOAT32, 2e-2),
        ("convrot_w4a4", 2e-2, 3e-2),  # and this one's
    ],
)
def test_quantised(attach, algorithm, experts, whole, record_property):
    from comfy.quant_ops import QuantizedTensor

    model = load(quantised(algorithm))
    assert isinstance(model.model.diffusion_model.double_blocks[0].img_mlp[2].weight, QuantizedTensor)
    check(compare(attach, model, record_property), experts, FLOAT32, whole)


@pytest.mark.parametrize("full_precision", [True, False])
def test_scaled_fp8(attach, full_precision, record_property):
    from comfy.quant_ops import QuantizedTensor

    weights = host_weights()
    for key in matrices(weights):
        scale = weights[key].abs().max() / 448
        weights[key] = (weights[key] / scale).to(torch.float8_e4m3fn)
        weights[key.removesuffix("weight") + "scale_weight"] = scale
    weights["scaled_fp8"] = torch.empty(2 if full_precision else 0, dtype=torch.float8_e4m3fn)
    model = load(weights)
    assert isinstance(model.model.diffusion_model.double_blocks[0].img_mlp[2].weight, QuantizedTensor)
    check(compare(attach, model, record_property), FLOAT32, FLOAT32, 6e-3)


def packed(_):
    from .packed_weights import Ops, Packed, Patcher

    weights = host_weights()
    weights |= {key: Packed.of(weights[key]) for key in matrices(weights)}
    model = load(weights, custom_operations=Ops)
    assert isinstance(model.model.diffusion_model.double_blocks[0].img_mlp[2].weight, Packed)
    return Patcher(model.model, model.load_device, model.offload_device)


def gguf_file(base):
    """A Q8_0 file through ComfyUI-GGUF's own loader node."""
    if not os.environ.get("COMFYUI_GGUF_PATH"):
        pytest.skip("COMFYUI_GGUF_PATH is not set to a checkout of ComfyUI-GGUF (it needs the package gguf)")
    gguf = pytest.importorskip("gguf")
    loader = import_folder("comfyui_gguf", Path(os.environ["COMFYUI_GGUF_PATH"]))
    (base / "models" / "diffusion_models").mkdir(exist_ok=True)
    path = base / "models" / "diffusion_models" / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "flux")
    weights = host_weights()
    chosen = set(matrices(weights))
    kind = gguf.GGMLQuantizationType.Q8_0
    for key, value in weights.items():
        if key in chosen:
            writer.add_tensor(key, gguf.quants.quantize(value.numpy(), kind), raw_dtype=kind)
        else:
            writer.add_tensor(key, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (model,) = loader.nodes.UnetLoaderGGUF().load_unet("tiny.gguf")
    weight = model.model.diffusion_model.double_blocks[0].img_mlp[2].weight
    assert type(weight).__name__ == "GGMLTensor" and weight.tensor_type == kind
    return model


def import_folder(name, folder):
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules[name] = importlib.util.module_from_spec(spec)
    return SimpleNamespace(nodes=importlib.import_module(f"{name}.nodes"))


@pytest.mark.parametrize("load_packed", [packed, gguf_file])
def test_gguf(attach, load_packed, host_modules, record_property):
    """A double of the tensor class always; the real loader where it is at hand."""
    check(compare(attach, load_packed(host_modules), record_property), FLOAT32, FLOAT32, 3e-3)


class OwnLayers(torch.nn.Module):
    """As Nunchaku's wrapper: FLUX by the host's account, with layers that the host does not know."""

    def __init__(self):
        super().__init__()
        self.model = torch.nn.ModuleDict({"transformer_blocks": torch.nn.ModuleList([torch.nn.Linear(4, 4)])})
        self.dtype = torch.bfloat16


def test_a_model_with_layers_of_its_own_is_refused_by_name(attach):
    model = load(case.weights(), dtype=torch.float32)
    model.model.diffusion_model = OwnLayers()
    with pytest.raises(ValueError, match=r"Flux is run by .*OwnLayers with layers of its own.*Nunchaku.*or as GGUF"):
        attach(model, conditions.published())
    assert not model.patches and not model.additional_models
