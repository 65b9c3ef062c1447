"""The velocity of a flow model by one prompt or the other, within one sampling of the host."""

import comfy.model_patcher
import comfy.samplers
import node_helpers
from torch import Tensor

from ...icedit_core.inversion.plan import Key
from ...icedit_core.inversion.values import Values

SOURCE, TARGET = "source", "positive"  # the host's wrappers ask for the conditioning that is called positive


class TwoPrompts(comfy.samplers.CFGGuider):
    """The host's guider with two conditionings, each with a guidance of its own; `side` says whose turn it is."""

    def __init__(self, model: comfy.model_patcher.ModelPatcher):
        super().__init__(model)
        self.side = SOURCE
        self.scales = {SOURCE: 1.0, TARGET: 1.0}

    def set_sides(self, source, target, negative=None) -> None:
        sides = {TARGET: target, SOURCE: source}
        self.inner_set_conds(sides if negative is None else sides | {"negative": negative})

    def predict_noise(self, x, timestep, model_options={}, seed=None):  # noqa: B006 (the host's signature)
        return comfy.samplers.sampling_function(
            self.inner_model,
            x,
            timestep,
            self.conds.get("negative"),
            self.conds[self.side],
            self.scales[self.side],
            model_options=model_options,
            seed=seed,
        )


def with_guidance(conditioning, guidance: float):
    """The conditioning with FLUX's guidance embedding set: without it the host takes 3.5."""
    return node_helpers.conditioning_set_values(conditioning, {"guidance": guidance})


def embeds(model) -> bool:
    """Whether guidance is an embedding."""
    return bool(getattr(getattr(model.get_model_object("diffusion_model"), "params", None), "guidance_embed", False))


class Velocity:
    """`icedit_core.inversion.Field` through the host's guider.

    Args:
        model: what the host hands to a sampler function; it gives the estimate of the finished latent.
        options: the sampler function's extra arguments.
    """

    def __init__(self, guider: TwoPrompts, model, options: dict, values: Values | None):
        self.guider, self.model, self.options, self.values = guider, model, options, values
        self.calls = 0

    @property
    def ahead(self) -> bool:
        return self.values is not None and self.values.ahead

    def holds(self, key: Key) -> bool:
        return self.values is not None and self.values.holds(key)

    def source(self, x: Tensor, sigma: Tensor, key: Key | None = None) -> Tensor:
        return self._ask(SOURCE, x, sigma, key)

    def target(self, x: Tensor, sigma: Tensor, key: Key | None = None) -> Tensor:
        return self._ask(TARGET, x, sigma, key)

    def _ask(self, side: str, x: Tensor, sigma: Tensor, key: Key | None) -> Tensor:
        self.guider.side = side
        self.calls += 1
        if self.values is not None:
            self.values.begin(key, inject=side == TARGET)
        x0 = self.model(x, sigma * x.new_ones([len(x)]), **self.options)
        if self.values is not None:
            self.values.end()
        return (x - x0) / sigma
