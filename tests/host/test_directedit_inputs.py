"""ICEdit DirectEdit: what is refused by name, what other flow models do, and a model that is left as it was."""

import pytest
import torch

from ..rounding import error
from . import condition_case as conditions
from . import flux_case
from .directedit_case import Case, run
from .test_candidates_models import EDITORS, drawn
from .test_wrong_models import SD15, without_the_loader


@pytest.fixture(scope="module")
def node(pack):
    from icedit_pack.nodes.directedit import ICEditDirectEdit

    return ICEditDirectEdit


@pytest.fixture(scope="module")
def case():
    return Case("flux")


@pytest.fixture(scope="module")
def model(case, pack):
    return case.model()


def test_what_is_no_flow_model_is_refused_by_name(node, case, pack):
    latent = {"samples": drawn(1, 4, 8, 16)}
    with pytest.raises(ValueError, match="Stable Diffusion 1.5 is not a flow model"):
        run(node, case, without_the_loader("SD15", SD15), latent=latent)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"latent": {"samples": torch.zeros(1, 16, 8, 12)}}, "the latent is empty, but the picture"),
        ({"injected_steps": 7}, "injected_steps is 7, but only 6 steps"),
        ({"start_step": 6}, "start_step is 6"),
        (
            {"injected_steps": 2, "blocks": "joint"},
            "blocks is 'joint', but FLUX.1 dev or Kontext has 1 double and 2 single",
        ),
        ({"mask": torch.ones(1, 64, 64)}, "the mask is 64x64 px, but the latent's picture is 96x64 px"),
        ({"mask": torch.ones(3, 64, 96)}, "3 masks for 1 latents"),
    ],
)
def test_bad_input_is_refused_in_words(node, case, model, more, words):
    with pytest.raises(ValueError, match=f"ICEdit DirectEdit: .*{words}"):
        run(node, case, model, **more)


def test_two_masks_are_one_too_many(node, case, model):
    latent = case.picture(model) | {"noise_mask": torch.ones(1, 64, 96)}
    with pytest.raises(ValueError, match="the latent has a noise mask too"):
        run(node, case, model, latent=latent, mask=torch.ones(1, 64, 96))


def test_guidance_without_an_embedding_needs_a_negative(node, pack):
    sd3 = Case("sd3")
    model = sd3.model()
    with pytest.raises(ValueError, match="Stable Diffusion 3 has no guidance embedding, and guidance is 1 and 2"):
        run(node, sd3, model, negative=None)
    run(node, sd3, model, negative=None, target_guidance=1.0)
    with pytest.raises(ValueError, match="no schedule is published for rf_solver on Stable Diffusion 3"):
        run(node, sd3, model, method="rf_solver")


def test_fill_needs_the_picture_beside_the_noise(node, case, pack):
    fill = flux_case.load(flux_case.weights())
    with pytest.raises(ValueError, match="FLUX.1 Fill reads a picture beside the noise.*source conditioning has none"):
        run(node, case, fill, latent={"samples": drawn(1, *conditions.LATENT)})


def test_easycache_is_refused(node, case, model):
    from comfy_extras.nodes_easycache import EasyCacheNode

    with pytest.raises(ValueError, match="EasyCache or LazyCache"):
        run(node, case, EasyCacheNode.execute(model, 0.2, 0.15, 0.95, False).args[0])


def test_combined_conditionings_cannot_hand_values_over(node, case, model):
    class Both(Case):
        def conditioning(self, side):
            return super().conditioning(side) * 2

    with pytest.raises(ValueError, match="a conditioning has several parts"):
        run(node, Both("flux"), model, injected_steps=2)
    run(node, Both("flux"), model)


def test_texts_of_different_lengths_hand_over_image_tokens(node, model):
    class Longer(Case):
        def conditioning(self, side):
            ((text, values),) = super().conditioning(side)
            return [[torch.cat([text, text[:, :3]], 1) if side == "tar" else text, values]]

    longer = Longer("flux")
    edited, _, _, text = run(node, longer, model, injected_steps=3)
    assert "different numbers of tokens" in text
    assert torch.equal(edited, run(node, longer, model, injected_steps=3, tokens="image")[0])
    assert error(edited, run(node, longer, model)[0]) > 1e-3


@pytest.mark.parametrize("name", ["flux2", "qwen_image"])
def test_other_flow_models_are_experimental(node, case, pack, name):
    make, shape, _, pooled, _ = EDITORS[name]
    other = make()

    def condition(seed):
        return [[drawn(1, 7, 32, seed=seed), {"pooled_output": drawn(1, pooled, seed=seed)} if pooled else {}]]

    more = {"latent": {"samples": drawn(*shape)}, "schedule": "simple", "negative": condition(4)}
    case = FromDrawn(condition)
    edited, again, _, text = run(node, case, other, **more)
    assert "Experimental: nothing is published for directedit" in text
    assert torch.equal(again.reshape(shape), more["latent"]["samples"]) and error(edited, again) > 1e-3
    same = {"source": "tar", "source_guidance": 2.0}
    assert torch.equal(run(node, case, other, **more, **same)[0], again)
    with pytest.raises(ValueError, match="no schedule is published"):
        run(node, case, other, **more | {"schedule": "published"})
    if name == "qwen_image":
        with pytest.raises(ValueError, match="values can be handed over in FLUX and Stable Diffusion 3 alone"):
            run(node, case, other, **more, injected_steps=1)


class FromDrawn:
    """What `run` needs of a case, with other conditionings."""

    kind, steps = "drawn", 4

    def __init__(self, condition):
        self.conditioning = lambda side: condition({"src": 2, "tar": 3}[side])


def test_the_model_is_left_as_it_was_also_after_an_exception(node, case, model):
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    options, plain = str(model.model_options), run(node, case, model)[0]
    run(node, case, model, injected_steps=3)
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) == 8:  # the second step of the edit, when values are injected
            raise KeyboardInterrupt("cancelled")

    hook = model.model.diffusion_model.single_blocks[0].register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt, match="cancelled"):
        run(node, case, model, injected_steps=3)
    hook.remove()
    assert str(model.model_options) == options
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
    assert torch.equal(run(node, case, model)[0], plain)
