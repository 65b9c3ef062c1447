"""ICEdit Diptych From Noise on the real host: the left panel, the values' way, refusals, a model that is left alone."""

import pytest
import torch

from ..rounding import error
from . import flux_case
from .directedit_case import Case
from .directedit_case import run as directedit
from .test_candidates_models import QWEN, drawn, without_the_loader

DEFAULTS = {
    "seed": 0,
    "steps": 4,
    "guidance": 3.5,
    "injected": 1.0,
    "blocks": "all",
    "left_panel": "locked",
    "source_guidance": 1.0,
    "schedule": "flux",
    "values": "replay",
}


@pytest.fixture(scope="module")
def node(pack):
    from icedit_pack.nodes.diptych_noise import ICEditDiptychFromNoise

    return ICEditDiptychFromNoise


@pytest.fixture(scope="module")
def case():
    return Case("flux")


@pytest.fixture(scope="module")
def model(case, pack):
    return case.model()


def diptych(case, model):
    panel = case.picture(model)["samples"]
    return torch.cat([panel, panel], -1)


def run(node, case, model, **more):
    """The latent, (1, 16, 8, 24), and the report."""
    given = {}
    if case is not None:
        given = {"source": case.conditioning("src"), "positive": case.conditioning("tar")}
        given["latent"] = {"samples": diptych(case, model)}
    with torch.no_grad():
        out = node.PREPARE_CLASS_CLONE(None).execute(model, **(given | DEFAULTS | more))
    return out.args[0]["samples"], out.ui.as_dict()["text"][0]


def test_the_left_panel_is_the_sources_and_the_right_follows_the_seed(node, case, model):
    made, text = run(node, case, model)
    source = case.picture(model)["samples"]
    assert torch.equal(made[..., :12], source) and error(made[..., 12:], source) > 0.1
    assert torch.equal(run(node, case, model)[0], made), "the same seed"
    assert not torch.equal(run(node, case, model, seed=1)[0][..., 12:], made[..., 12:])
    assert "4 steps, 12 model calls" in text and "Values of 3 blocks in 4 steps, captured step by step" in text
    assert "Experimental" not in text and "locked to the source" in text


def test_kept_and_replayed_values_are_the_same_bits(node, case, model):
    replayed, kept = (run(node, case, model, values=how) for how in ("replay", "memory"))
    assert torch.equal(replayed[0], kept[0]) and "8 model calls" in kept[1]


def test_what_is_chosen_changes_the_right_panel(node, case, model):
    made = run(node, case, model)[0]
    for more in ({"injected": 0.0}, {"injected": 0.5}, {"blocks": "single"}, {"guidance": 1.0}, {"left_panel": "free"}):
        assert error(run(node, case, model, **more)[0][..., 12:], made[..., 12:]) > 1e-5, more


def test_free_and_without_values_it_is_the_hosts_own_sampling(node, case, model):
    """Of [the source's inversion | noise] at the diptych's size, with the same noise levels."""
    import comfy.sample
    import comfy.samplers
    from icedit_pack.nodes.directedit import ICEditDirectEdit
    from icedit_pack.nodes.host.velocity import with_guidance

    more = {"schedule": "simple", "left_panel": "free", "injected": 0.0}
    made, text = run(node, case, model, **more)
    inverted = directedit(ICEditDirectEdit, case, model, method="euler", steps=4, schedule="simple")[2][3]
    panel = case.picture(model)["samples"]
    noise = torch.cat([inverted, comfy.sample.prepare_noise(panel, 0)], -1)
    positive = with_guidance(case.conditioning("tar"), 3.5)
    with torch.no_grad():
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", 4)
        euler = comfy.samplers.sampler_object("euler")
        expected = comfy.sample.sample_custom(
            model, noise, 1.0, euler, sigmas, positive, positive, diptych(case, model), seed=0
        )
    assert error(made, expected) < 1e-5
    assert "The left panel is free: off by" in text


def test_a_diptychs_own_values_change_nothing(node, case, model):
    """One model call of the diptych, whose left half's values are captured and, in a second call, injected."""
    from icedit_pack.icedit_core.inversion.values import Values
    from icedit_pack.icedit_core.panels import left_tokens
    from icedit_pack.nodes.host import run as host_run
    from icedit_pack.nodes.host.value_hooks import blocks_of, hand_over

    places, seen = left_tokens(4, 6), []
    latent = {"samples": diptych(case, model)}

    def call(values, inject):
        recipe, image, _ = host_run.for_one_call(model, case.conditioning("tar"), latent)
        if inject:
            hand_over(recipe.model, values)
        else:
            recipe.model.set_model_attn1_patch(captures(values))
        recipe.model.set_model_unet_function_wrapper(
            lambda apply, given: seen.append(apply(given["input"], given["timestep"], **given["c"])) or seen[-1]
        )
        values.begin((0, 0), inject)
        host_run.ask_once(recipe, host_run.noise_of(recipe, image, 0), image, 0.7, 0)
        values.end()

    def captures(values):
        def patch(q, k, v, pe=None, attn_mask=None, extra_options=None):
            text = extra_options["img_slice"][0]
            own = torch.cat([v[:, :, :text], v[:, :, text + places]], 2)
            values.at((extra_options["block_type"], extra_options["block_index"]), own, (0,), text)
            return {}

        return patch

    values = Values(set(blocks_of(model)), "image", 1, "replay", lambda: 0, places)
    with torch.no_grad():
        call(values, inject=False)
        call(values, inject=True)
    assert torch.equal(*seen)


def test_a_batch_is_its_pictures(node, case, model):
    both = diptych(case, model)
    other = both + 0.1
    latents = {"samples": torch.cat([both, other]), "batch_index": [0, 0]}
    made = run(node, case, model, latent=latents)[0]
    single = [run(node, case, model, latent={"samples": one})[0] for one in (both, other)]
    assert error(made, torch.cat(single)) < 1e-4 < error(single[0], single[1])


def test_the_model_is_left_as_it_was_also_after_an_exception(node, case, model):
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    options, plain = str(model.model_options), run(node, case, model)[0]
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) == 8:  # the second step of the diptych
            raise KeyboardInterrupt("cancelled")

    hook = model.model.diffusion_model.single_blocks[0].register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt, match="cancelled"):
        run(node, case, model)
    hook.remove()
    assert str(model.model_options) == options
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())
    assert torch.equal(run(node, case, model)[0], plain)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"latent": {"samples": torch.zeros(1, 16, 8, 24)}}, "the latent is empty"),
        ({"latent": {"samples": drawn(1, 16, 8, 22)}}, "the latent is 22 wide, but two halves of whole tokens"),
        ({"latent": {"samples": drawn(1, 16, 8, 24)}}, "the halves of the latent differ by 1"),
        ({"blocks": "late_single"}, "blocks is 'late_single', but FLUX.1 dev or Kontext has 1 double and 2 single"),
    ],
)
def test_bad_input_is_refused_in_words(node, case, model, more, words):
    with pytest.raises(ValueError, match=f"ICEdit Diptych From Noise: .*{words}"):
        run(node, case, model, **more)


@pytest.mark.parametrize(
    ("side", "key"), [("source", "control"), ("source", "reference_latents"), ("positive", "area")]
)
def test_conditionings_of_a_part_are_refused(node, case, model, side, key):
    ((text, values),) = case.conditioning("src")
    with pytest.raises(ValueError, match=f"the {side} conditioning holds {key}"):
        run(node, case, model, **{side: [[text, values | {key: 1}]]})


def test_other_models_are_refused_by_name(node, case, model):
    latent = {"samples": diptych(case, model)}
    with pytest.raises(ValueError, match="the model is Qwen-Image, but FLUX is needed"):
        run(node, case, without_the_loader("QwenImage", QWEN), latent=latent)
    with pytest.raises(ValueError, match="FLUX.1 Fill reads a picture beside the noise"):
        run(node, case, flux_case.load(flux_case.weights()), latent=latent)


def test_the_demo_with_everything_masked_keeps_its_left_panel(node, pack):
    """Within half a dB of what the autoencoder itself makes of the diptych; a mask of the right panel is refused."""
    from icedit_pack.demo import scenes
    from icedit_pack.demo.scenes.draw import caption
    from icedit_pack.nodes.host import demo

    import nodes

    made = scenes.make(scenes.UNSEEN, 96, "recolour")
    picture = torch.from_numpy(made.source)[None]
    pair = torch.cat([picture, picture], 2)
    base, clip, vae = demo.load_demo_model()

    def psnr(latent):
        return -10 * torch.log10((vae.decode(latent).clamp(0, 1)[:, :, :96] - picture).square().mean())

    with torch.no_grad():
        texts = [nodes.CLIPTextEncode().encode(clip, text)[0] for text in (caption(made.edit.before), "a pair")]
        mask = torch.ones(pair.shape[:3])
        sides = nodes.InpaintModelConditioning().encode(*texts, pair, vae, mask, False)
        given = dict(zip(("source", "positive", "latent"), sides, strict=True))
        latent, text = run(node, None, base, steps=2, **given)
        assert psnr(latent) > psnr(vae.encode(pair)) - 0.5
        assert "Experimental: the authors used FLUX.1 dev, not FLUX.1 Fill" in text
        mask[:, :, :96] = 0
        sides = nodes.InpaintModelConditioning().encode(*texts, pair, vae, mask, False)
        with pytest.raises(ValueError, match="FLUX.1 Fill is given a part of the picture"):
            run(node, None, base, steps=2, **dict(zip(("source", "positive", "latent"), sides, strict=True)))
