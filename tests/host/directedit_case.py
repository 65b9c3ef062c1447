"""DirectEdit's recorded runs through ICEdit DirectEdit on the real host: FLUX.1 dev and SD3.5, small and random."""

import json
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file

FIXTURES = Path(__file__).parents[1] / "fixtures"
DEFAULTS = {
    "method": "directedit",
    "source_guidance": 1.0,
    "target_guidance": 2.0,
    "injected_steps": 0,
    "start_step": 0,
    "blocks": "published",
    "tokens": "all",
    "schedule": "published",
    "mask_pooling": "published",
    "dilation": 0,
    "values": "auto",
    "seed": 0,
}


class Case:
    """One of the recordings, its latents all (1, 16, 8, 12) in the model's scale."""

    def __init__(self, kind):
        folder = FIXTURES / {"flux": "directedit", "sd3": "directedit_sd35"}[kind]
        self.kind = kind
        self.config = json.loads((folder / "config.json").read_text())
        self.io = load_file(folder / "io.safetensors")
        self.weights = {key: value.float() for key, value in load_file(next(folder.glob("*tiny*"))).items()}
        self.steps = self.config["num_steps"]
        self.dilation = self.config.get("mask_dilation_pixels", 0)

    def model(self):
        import comfy.sd

        return comfy.sd.load_diffusion_model_state_dict(dict(self.weights), model_options={"dtype": torch.float32})

    def latents(self, name):
        """(n, 16, 8, 12) of a recorded tensor."""
        found = self.io[name]
        if self.kind == "sd3":
            return found
        h, w = self.config["tokens_hw"]
        return rearrange(found, "b (h w) (c ph pw) -> b c (h ph) (w pw)", h=h, w=w, ph=2, pw=2)

    def conditioning(self, side):
        return [[self.io[f"{side}_prompt_embeds"], {"pooled_output": self.io[f"{side}_pooled"]}]]

    def picture(self, model):
        """The source as VAE Encode gives it."""
        return {"samples": model.model.process_latent_out(self.latents("z0"))}

    def mask(self):
        return self.io["mask_pixels"].float()[None] / 255


def run(node, case, model, target="tar", source="src", latent=None, **more):
    """Run the node.

    Returns:
        its outputs, edit and reconstruction (B, 16, 8, 12); the latent after every step, as the host's callback had it;
        and the text.
    """
    from comfy.patcher_extension import WrappersMP

    states = []

    def watch(executor, noise, image, sampler, sigmas, mask, callback, *rest, **others):
        def seen(step, x0, x, total):
            states.append(x.clone())
            callback(step, x0, x, total)

        return executor(noise, image, sampler, sigmas, mask, seen, *rest, **others)

    watched = model.clone()
    watched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "test", watch)
    settings = DEFAULTS | {"steps": case.steps, "latent": latent or case.picture(model)} | more
    if case.kind == "sd3":
        settings.setdefault("negative", case.conditioning("neg"))
    sides = {"source": case.conditioning(source), "target": case.conditioning(target)}
    with torch.no_grad():
        out = node.PREPARE_CLASS_CLONE(None).execute(watched, **(sides | settings))
    edited, again = (one["samples"] for one in out.args)
    return edited, again, states, out.ui.as_dict()["text"][0]
