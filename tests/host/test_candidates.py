"""A candidate stopped and finished is the picture that a KSampler gives for its seed, bit for bit."""

import pytest
import torch

from ..rounding import assert_rounded
from . import flux_case as case

STEPS, EARLY = 7, 3


@pytest.fixture(scope="module")
def setup(pack):
    from icedit_pack.nodes.host import sampling

    return sampling, case.load(case.weights())


def recipe(setup, sampler="euler", images=1, mask=False):
    sampling, model = setup
    io = case.recorded()
    draw = torch.Generator().manual_seed(1)
    latent = {"samples": torch.randn(images, 16, 8, 16, generator=draw)}
    if mask:
        latent["noise_mask"] = (torch.rand(images, 64, 128, generator=draw) > 0.5).float()
    concat = torch.randn(images, 16, 8, 16, generator=draw)
    values = {"pooled_output": io["pooled"][:1], "guidance": 50.0, "concat_latent_image": concat}
    cond = [[io["ctx"][:1], values | {"concat_mask": torch.ones(images, 1, 64, 128)}]]
    return sampling.Recipe(model, cond, cond, latent, STEPS, 1.0, sampler, "simple")


def stock(recipe, seed):
    import nodes

    with torch.no_grad():
        return nodes.common_ksampler(
            recipe.model,
            seed,
            recipe.steps,
            recipe.cfg,
            recipe.sampler,
            recipe.scheduler,
            recipe.positive,
            recipe.negative,
            recipe.latent,
            recipe.denoise,
        )[0]["samples"]


def run(setup, recipe, choice, seed=40, count=3, **options):
    sampling, _ = setup
    with torch.no_grad():
        candidates = sampling.begin(recipe, seed, count, EARLY, options.pop("batch", 1))
        latent, report = sampling.finish(candidates, choice, **options)
    return candidates, latent["samples"], report


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2", "ddim"])
def test_going_on_equals_the_stock_sampler(setup, sampler, mask):
    from icedit_pack.icedit_core.candidates import SEAMLESS

    assert sampler in SEAMLESS
    one = recipe(setup, sampler, mask=mask)
    _, samples, report = run(setup, one, (2,))
    assert torch.equal(samples, stock(one, 42))
    assert f"candidate 2 (seed 42): {STEPS + 2 * EARLY} sampler steps" in report


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2", "ddim", "dpmpp_2m"])
def test_denoise_is_a_ksamplers(setup, sampler, mask):
    whole = recipe(setup, sampler, mask=mask)
    part = whole._replace(denoise=0.6)
    _, samples, report = run(setup, part, (1,))
    assert torch.equal(samples, stock(part, 41)) and not torch.equal(samples, stock(whole, 41))
    anew = sampler == "dpmpp_2m"
    assert f"candidate 1 (seed 41): {STEPS + (3 if anew else 2) * EARLY} sampler steps" in report


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_ancestral", "uni_pc", "res_multistep", "lcm"])
def test_other_samplers_start_again_and_say_so(setup, sampler):
    one = recipe(setup, sampler, mask=True)
    _, samples, report = run(setup, one, (1,))
    assert torch.equal(samples, stock(one, 41))
    assert "was started again" in report and f"{STEPS + 3 * EARLY} sampler steps" in report


def test_restart_gives_the_same_bits(setup):
    one = recipe(setup, mask=True)
    _, samples, report = run(setup, one, (1,), restart=True)
    assert torch.equal(samples, stock(one, 41))
    assert "started again" not in report


@pytest.mark.parametrize("sampler", ["euler", "ddim", "dpmpp_2m"])
def test_each_image_of_a_batch_may_have_its_own_winner(setup, sampler):
    one = recipe(setup, sampler, images=2, mask=True)
    _, samples, _ = run(setup, one, (2, 0))
    assert torch.equal(samples[0], stock(one, 42)[0])
    assert torch.equal(samples[1], stock(one, 40)[1])


@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim", "dpmpp_2m"])
def test_the_better_half_taken_further_still_ends_as_the_stock_sampler(setup, sampler):
    sampling, _ = setup
    one = recipe(setup, sampler, mask=True)
    with torch.no_grad():
        kept = sampling.advance(sampling.begin(one, 40, 4, 2), (3, 1), 5)
        direct = sampling.begin(one, 43, 1, 5)
        latent, report = sampling.finish(kept, (1,))
    assert kept.seeds == (43, 41)
    assert torch.equal(kept.previews[0], direct.previews[0])
    assert torch.equal(latent["samples"], stock(one, 41))
    steps = 4 * 2 + 2 * 3 + STEPS - 5 if sampler != "dpmpp_2m" else 4 * 2 + 2 * 5 + STEPS
    assert f"seed 41): {steps} sampler steps" in report


@pytest.mark.parametrize(
    ("images", "kept", "early", "words"),
    [(2, (0,), 5, "holds 2 images"), (1, (0,), 3, "have taken 3 of 7, so 4 to 6"), (1, (4,), 5, "index from 0 to 2")],
)
def test_what_cannot_be_taken_further_is_refused(setup, images, kept, early, words):
    sampling, _ = setup
    with torch.no_grad():
        candidates = sampling.begin(recipe(setup, images=images), 40, 3, EARLY)
        with pytest.raises(ValueError, match=words):
            sampling.advance(candidates, kept, early)


def test_candidates_in_one_batch_differ_by_rounding_only(setup):
    one = recipe(setup, mask=True)
    alone, _, _ = run(setup, one, (0,))
    together, samples, _ = run(setup, one, (2,), batch=2)
    for a, b in zip(alone.states, together.states, strict=True):
        assert_rounded(b, a)
    assert_rounded(samples, stock(one, 42))


def test_previews_are_the_estimates_of_the_finished_latent(setup):
    one = recipe(setup)
    candidates, _, _ = run(setup, one, (0,))
    assert len(candidates.previews) == 3 and candidates.previews[0].shape == one.latent["samples"].shape
    seen = []
    import comfy.sample

    noise = comfy.sample.prepare_noise(one.latent["samples"], 40)
    with torch.no_grad():
        comfy.sample.sample(
            one.model,
            noise,
            STEPS,
            1.0,
            "euler",
            "simple",
            one.positive,
            one.negative,
            one.latent["samples"],
            callback=lambda step, x0, x, total: seen.append(x0),
        )
    expected = one.model.model.process_latent_out(seen[EARLY - 1])
    assert torch.equal(candidates.previews[0], expected)


def test_kept_states_are_latents_only(setup):
    candidates, _, _ = run(setup, recipe(setup), (0,))
    latent = candidates.recipe.latent["samples"]
    assert sum(state.numel() for state in candidates.states) == 3 * latent.numel()
    assert all(state.untyped_storage().nbytes() <= 3 * latent.nbytes for state in candidates.states)


@pytest.mark.parametrize("choice", [(3,), (-1,), (0, 0)])
def test_a_choice_that_cannot_be_is_refused(setup, choice):
    with pytest.raises(ValueError, match="one index from 0 to 2 for each of 1 images"):
        run(setup, recipe(setup), choice)
