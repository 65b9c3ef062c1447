"""Inversion without a model: the published recursions, schedules and masks, in equations and as recorded."""

import pytest
import torch
from safetensors.torch import load_file

from icedit_core.inversion import METHODS, STEPS, Plan, masks, rf_solver, schedules
from icedit_core.inversion.values import DOUBLE, JOINT, SINGLE, Values, rule
from tests.rounding import assert_equation

FLUX, SD3 = (f"tests/fixtures/{name}/io.safetensors" for name in ("directedit", "directedit_sd35"))
SIGMAS = torch.tensor([1.0, 0.8, 0.55, 0.3, 0.1, 0.0], dtype=torch.float64)


class Curved:
    """A field that bends: v = A_side tanh(x) + sigma b_side."""

    ahead = False

    def __init__(self):
        draw = torch.Generator().manual_seed(0)
        self.by = {side: torch.randn(2, 4, 4, generator=draw, dtype=torch.float64) for side in ("source", "target")}

    def ask(self, side, x, sigma):
        a, b = self.by[side]
        return torch.tanh(x) @ a + sigma * b[0]

    def source(self, x, sigma, key=None):
        return self.ask("source", x, sigma)

    def target(self, x, sigma, key=None):
        return self.ask("target", x, sigma)

    def holds(self, key):
        return True


class Same(Curved):
    def target(self, x, sigma, key=None):
        return self.ask("source", x, sigma)


@pytest.fixture
def clean():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def edit(method, clean, field, seen=lambda x, x0: None, **plan):
    return METHODS[method](clean, field, Plan(SIGMAS, **plan), seen)


def published(z, field, mask):
    """DirectEdit as coded: residuals stored in the inversion, source and target side by side, source overwritten."""
    n, latents, residuals = len(SIGMAS) - 1, [z], []
    for k in range(n):
        i = n - 1 - k
        latents.append(latents[k] + (SIGMAS[i] - SIGMAS[i + 1]) * field.source(latents[k], SIGMAS[i]))
        residuals.append(latents[k] - latents[k + 1])
    y = latents[n]
    for i in range(n):
        k = n - 1 - i
        y = y + (SIGMAS[i + 1] - SIGMAS[i]) * field.target(y + residuals[k], SIGMAS[i])
        y = mask * y + (1 - mask) * latents[k]
    return y


@pytest.mark.parametrize("mask", [1.0, 0.5])
def test_the_difference_form_is_the_published_loop(clean, mask):
    weights = torch.full((3, 4), mask, dtype=torch.float64)
    weights[0] = 0
    got = edit("directedit", clean, Curved(), mask=weights).latent
    assert_equation(got, published(clean, Curved(), weights))
    assert torch.equal(got[0], clean[0]) and not torch.allclose(got[1], clean[1])


def test_equal_fields_give_the_source_where_the_method_is_exact(clean):
    for method in METHODS:
        edited = edit(method, clean, Same())
        exact = method in ("directedit", "flowedit")
        assert torch.equal(edited.latent, clean) == torch.equal(edited.reconstruction, clean) == exact, method
        assert torch.equal(edited.latent, edited.reconstruction)


def test_the_midpoint_rule_is_the_published_form_and_comes_back_closer(clean):
    field, t, h = Curved(), torch.tensor(0.3, dtype=torch.float64), 0.2
    got, _ = rf_solver.midpoint(clean, t, t + h, lambda x, sigma, _: field.source(x, sigma))
    v = field.source(clean, t)
    slope = (field.source(clean + h / 2 * v, t + h / 2) - v) / (h / 2)
    assert_equation(got, clean + h * v + h**2 / 2 * slope)
    off = {method: float((edit(method, clean, Same()).latent - clean).norm()) for method in ("euler", "rf_solver")}
    assert off["rf_solver"] < off["euler"] / 3


def test_every_step_is_told_and_a_late_start_takes_fewer(clean):
    for method, passes in STEPS.items():
        for start in (0, 3):
            told = []
            edit(method, clean, Curved(), seen=lambda x, x0, told=told: told.append(x0), start=start)
            assert len(told) == passes * (5 - start)


def test_flowedit_takes_its_noise_from_the_seed(clean):
    first, again, other = (edit("flowedit", clean, Curved(), seed=seed).latent for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"start": 5}, "start_step is 5, but the schedule has 5 steps, so 0 to 4"),
        ({"start": 3, "inject": 3}, "injected_steps is 3, but only 2 steps are taken"),
    ],
)
def test_plans_that_cannot_be(plan, words):
    with pytest.raises(ValueError, match=words):
        Plan(SIGMAS, **plan)
    with pytest.raises(ValueError, match="the schedule is 0.5, 0.7, 0, but noise levels that fall"):
        Plan(torch.tensor([0.5, 0.7, 0.0]))


@pytest.mark.parametrize(("file", "kind", "steps"), [(FLUX, schedules.FLUX, 6), (SD3, schedules.SD3, 5)])
def test_recorded_schedules(file, kind, steps):
    assert torch.allclose(
        schedules.published("directedit", kind, steps, tokens=24), load_file(file)["sigmas"], atol=1e-6, rtol=0
    )


def test_other_published_schedules():
    rf, flow = (schedules.published(method, schedules.FLUX, 4, 256) for method in ("rf_solver", "flowedit"))
    assert torch.equal(rf, flow), "the same where the shift's grid ends at 1 / steps"
    assert torch.allclose(rf[1:3], torch.tensor([0.8318, 0.6225]), atol=1e-4)
    assert schedules.published("rf_solver", schedules.SD3, 4, 0) is None


def test_recorded_masks():
    flux, sd3 = load_file(FLUX), load_file(SD3)
    mask = flux["mask_pixels"].float()[None] / 255
    tokens = masks.pooled(mask, (8, 12), 8, 2, "published")[0, 0, ::2, ::2]
    assert torch.allclose(tokens.flatten(), flux["mask_tokens"].flatten(), atol=1e-6)
    mask = sd3["mask_pixels"].float()[None] / 255
    assert torch.allclose(masks.pooled(mask, (8, 12), 8, 1, "published", dilation=3), sd3["mask_latent"], atol=1e-6)


def test_area_sees_a_thin_stroke_that_the_published_pooling_misses():
    mask = torch.zeros(1, 32, 32)
    mask[:, 2, :] = 1
    assert masks.pooled(mask, (4, 4), 8, 2, "published").max() == 0
    assert torch.equal(masks.pooled(mask, (4, 4), 8, 2)[0, 0, :, 0], torch.tensor([1, 1, 0, 0]) / 16)
    assert masks.pooled(mask, (4, 4), 8, 2, "max")[0, 0, :, 0].tolist() == [1, 1, 0, 0]


def test_masks_of_the_pictures_size_alone():
    whole = torch.ones(1, 30, 45)  # padded below and right; VAE Encode would have cropped 45 to 40
    assert masks.pooled(whole, (4, 6), 8, 2)[0, 0, :, -1].tolist() == pytest.approx([13 / 16] * 2 + [13 * 14 / 256] * 2)
    assert masks.pooled(whole, (4, 5), 8, 1)[0, 0, 0].tolist() == [1] * 5
    assert torch.equal(masks.pooled(torch.eye(4)[None], (4, 4), 8, 1)[0, 0], torch.eye(4)), "of the latent's size"
    with pytest.raises(ValueError, match="the mask is 64x30 px, but the latent's picture is 48x32 px. Scale the mask"):
        masks.pooled(torch.ones(1, 30, 64), (4, 6), 8, 2)


def test_blocks_that_are_meant():
    flux = [(DOUBLE, i) for i in range(19)] + [(SINGLE, i) for i in range(38)]
    sizes = {
        choice: len(rule(choice, "directedit", flux, "FLUX")) for choice in ("published", "single", "vital", "all")
    }
    assert sizes == {"published": 38, "single": 38, "vital": 9, "all": 57}
    assert rule("published", "rf_solver", flux, "FLUX") == {(SINGLE, i) for i in range(20, 38)}
    joint = [(JOINT, i) for i in range(24)]
    assert rule("published", "directedit", joint, "SD3") == set(joint)
    with pytest.raises(
        ValueError, match="blocks is 'late_single', but Small has 1 double and 4 single blocks and none"
    ):
        rule("late_single", "euler", [(DOUBLE, 0), *((SINGLE, i) for i in range(4))], "Small")


def store(scope="all", **more):
    return Values({(SINGLE, 0)}, scope, keys=more.pop("keys", 2), store=more.pop("how", "memory"), free=lambda: 1000)


def hand(values, key, tensor, inject, sides=(0,), text=2):
    values.begin(key, inject)
    got = values.at((SINGLE, 0), tensor, sides, text)
    values.end()
    return got


def drawn(tokens, seed):
    return torch.randn(2, 1, tokens, 3, generator=torch.Generator().manual_seed(seed))


def test_values_go_over_and_own_values_change_nothing():
    values, own, other = store(), drawn(6, 0), drawn(6, 1)
    assert torch.equal(hand(values, (0, 0), own, inject=False), own) and values.bytes == own.nbytes
    assert torch.equal(hand(values, (0, 0), other, inject=True), own) and values.bytes == 0
    hand(values, (0, 0), own, inject=False)
    assert torch.equal(hand(values, (0, 0), own, inject=True), own)
    assert torch.equal(values.at((SINGLE, 0), other, (0,), 2), other), "outside of a call nothing is touched"


def test_image_tokens_alone_where_asked_or_where_texts_differ():
    for values, tokens, text in ((store("image"), 6, 2), (store(), 9, 5)):
        own, other = drawn(6, 0), drawn(tokens, 1)
        hand(values, (0, 0), own, inject=False)
        got = hand(values, (0, 0), other, inject=True, text=text)
        assert torch.equal(got[..., text:, :], own[..., 2:, :]) and torch.equal(
            got[..., :text, :], other[..., :text, :]
        )
        assert values.texts_differ == (text == 5)


def test_the_prompts_rows_alone():
    values, own, other = store(), drawn(6, 0), drawn(6, 1)
    hand(values, (0, 0), own[:1], inject=False)
    got = hand(values, (0, 0), other, inject=True, sides=(1, 0))
    assert torch.equal(got[0], other[0]) and torch.equal(got[1], own[0])


def test_values_that_do_not_fit_are_captured_again_later():
    values = store(how="auto", keys=9)
    assert values.ahead
    hand(values, (0, 0), drawn(6, 0), inject=False)
    assert not values.ahead and not values.holds((0, 0)) and values.bytes == 0
    hand(values, (0, 0), drawn(6, 0), inject=False)
    assert values.holds((0, 0)), "one key at a time"


def test_a_block_that_never_came_and_one_that_came_twice():
    values = store()
    values.begin((0, 0), inject=False)
    with pytest.raises(ValueError, match="1 of 1 blocks did not hand over"):
        values.end()
    values.begin((0, 0), inject=False)
    values.at((SINGLE, 0), drawn(6, 0), (0,), 2)
    with pytest.raises(ValueError, match="a conditioning has several parts"):
        values.at((SINGLE, 0), drawn(6, 0), (0,), 2)


def test_unequal_numbers_of_image_tokens():
    values = store()
    hand(values, (0, 0), drawn(6, 0), inject=False)
    with pytest.raises(ValueError, match="4 and 5 image tokens"):
        hand(values, (0, 0), drawn(7, 0), inject=True)
