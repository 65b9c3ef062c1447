"""What the tests of the host's conditions share: an adapter that can also be merged, and a short sampling.

With all experts of a layer alike, whichever the router picks, the adapter is a plain LoRA: merged into the weights by
hand it is a reference that needs none of our code, for every condition.
"""

import torch
from safetensors.torch import load_file

from . import flux_case as case

LATENT = (16, 8, 16)
LAYERS = {
    "transformer_blocks.0.ff.net.2": "double_blocks.0.img_mlp.2",
    "single_transformer_blocks.0.proj_out": "single_blocks.0.linear2",
}


def published():
    return load_file(case.ADAPTER)


def is_routed(key):
    return "expert_" in key or "lora_route" in key


def routed_only():
    """The experts of the recorded adapter, without its plain layers."""
    return {key: value for key, value in published().items() if is_routed(key)}


def logits(x, tensors, name):
    """The router's logits of tokens x (..., in), in float64 -> (..., experts)."""
    return x.double() @ tensors[f"transformer.{name}.lora_route.weight"].double().T


def experts(x, tensors, name, top_k=1, following=False):
    """sum_i gates_i B_i A_i x, written out from the published equation with every expert computed in full.

    Args:
        x: (..., in); computed in float64.
        following: take the next expert in the place of each token's last pick.
    """
    x = x.double()
    part = {key.removeprefix(f"transformer.{name}."): value.double() for key, value in tensors.items() if name in key}
    scores = logits(x, tensors, name)
    order = scores.argsort(dim=-1, descending=True)
    picks = torch.cat([order[..., : top_k - 1], order[..., top_k : top_k + 1]], -1) if following else order[..., :top_k]
    kept = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, picks, True)
    gates = torch.where(kept, scores, -torch.inf).softmax(-1)
    return sum(
        gates[..., i, None] * (x @ part[f"lora_A.expert_{i}.weight"].T @ part[f"lora_B.expert_{i}.weight"].T)
        for i in range(len(part["lora_route.weight"]))
    )


def alike():
    """The recorded adapter with the first expert of each layer in the place of all."""
    tensors = published()
    first = {key: tensors[_expert_0(key)] for key in tensors}
    return {key: value.clone() for key, value in first.items()}


def _expert_0(key):
    head, found, tail = key.partition("expert_")
    return f"{head}{found}0{tail[tail.index('.') :]}" if found else key


def merged(tensors, strength=1.0, base=None):
    """W + strength * B A for `alike` adapters, in diffusers' naming, where q, k and v are weights of their own."""
    base = dict(base or case.weights())
    for key, down in tensors.items():
        layer, found, tail = key.removeprefix("transformer.").partition(".lora_A.")
        if found and tail in ("weight", "expert_0.weight"):
            up = tensors[key.replace("lora_A", "lora_B")]
            base[f"{layer}.weight"] = base[f"{layer}.weight"] + strength * up.float() @ down.float()
    return base


def conditioning(tokens=12, seed=0, **more):
    """A FLUX Fill conditioning of its own length, random."""
    draw = torch.Generator().manual_seed(seed)
    io = case.recorded()
    wide, pooled = io["ctx"].shape[-1], io["pooled"].shape[-1]
    values = {
        "pooled_output": torch.randn(1, pooled, generator=draw),
        "concat_latent_image": torch.randn(1, *LATENT, generator=draw),
        "guidance": 30.0,
    }
    return [[torch.randn(1, tokens, wide, generator=draw), {**values, **more}]]


def sample(model, positive=None, negative=None, cfg=1.0, batch=1, sigmas=(1.0, 0.8, 0.5, 0.2, 0.0), callback=None):
    """A few Euler steps through the host's own sampler -> latents (B, 16, 8, 16)."""
    import comfy.sample
    import comfy.samplers

    positive = positive or conditioning()
    latent = torch.zeros(batch, *LATENT)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(7))
    euler = comfy.samplers.sampler_object("euler")
    conds = positive, negative or positive
    with torch.no_grad():
        return comfy.sample.sample_custom(
            model, noise, cfg, euler, torch.tensor(sigmas), *conds, latent, callback=callback, disable_pbar=True
        )
