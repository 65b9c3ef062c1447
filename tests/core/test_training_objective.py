"""Packing, draws and the flow-matching loss."""

import pytest
import torch
from einops import rearrange
from torch.nn import functional as F

from icedit_core.panels import pack
from icedit_core.training.objective import (
    condition,
    draws,
    edit_weights,
    flow_matching_loss,
    velocity,
)

TOKENS = "b c (h ph) (w pw) -> b (h w) (c ph pw)"
PATCH = {"ph": 2, "pw": 2}


def batch_of(b=3, h=4, w=8, seed=0):
    draw = torch.Generator().manual_seed(seed)
    changed = (torch.rand(b, 1, h, w, generator=draw) > 0.7) * torch.rand(b, 1, h, w, generator=draw)
    changed[..., : w // 2] = 0
    return {
        "target": torch.randn(b, 16, h, w, generator=draw),
        "condition": torch.randn(b, 16, h, w, generator=draw),
        "states": torch.randn(b, 5, 7, generator=draw),
        "pooled": torch.randn(b, 6, generator=draw),
        "changed": changed,
    }


def test_the_mask_is_one_on_the_right_half_only():
    masked = torch.randn(2, 16, 4, 8)
    tokens = condition(masked)
    assert torch.equal(tokens[..., :64], pack(masked))
    mask = rearrange(tokens[..., 64:], "b (h w) c -> b h w c", h=2)
    assert mask.shape[-1] == 256
    assert not mask[:, :, :2].any() and bool((mask[:, :, 2:] == 1).all())


def test_velocity_gives_the_model_what_flux_expects():
    batch, noisy, t = batch_of(), torch.randn(3, 16, 4, 8), torch.tensor([0.1, 0.5, 0.9])
    given = {}

    def model(**inputs):
        given.update(inputs)
        return inputs["hidden_states"][..., :64]

    assert torch.equal(velocity(model, noisy, t, batch, guidance=1.0), noisy)
    assert given["hidden_states"].shape == (3, 8, 384)
    assert torch.equal(given["hidden_states"][..., 64:], condition(batch["condition"]))
    assert given["encoder_hidden_states"] is batch["states"] and given["pooled_projections"] is batch["pooled"]
    assert torch.equal(given["timestep"], t) and given["guidance"].tolist() == [1.0, 1.0, 1.0]
    assert given["img_ids"].shape == (8, 3) and given["txt_ids"].shape == (5, 3)


def test_draws_are_a_function_of_seed_and_number_alone():
    first = draws(7, 1000, (16, 4, 8))
    torch.manual_seed(0)
    draws(7, 3, (16, 4, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, draws(7, 1000, (16, 4, 8)), strict=True))
    for seed, index in ((8, 1000), (7, 1001), (1000, 7)):
        assert not any(torch.equal(a, b) for a, b in zip(first, draws(seed, index, (16, 4, 8)), strict=True))
    assert first[0].dtype == torch.float32 and first[0].shape == (16, 4, 8)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.3, 0.5)])
def test_times_are_logit_normal(mean, std):
    t = torch.stack([draws(0, i, (1,), time_mean=mean, time_std=std)[1] for i in range(4000)])
    logit = torch.logit(t.double())
    assert abs(logit.mean() - mean) < 4 * std / 4000**0.5
    assert abs(logit.std() - std) < 0.05 * std


def test_times_may_be_uniform_and_the_text_is_dropped_uniformly():
    drawn = [draws(0, i, (1,), time_mean=5.0, time_uniform=0.5) for i in range(4000)]
    t, drop = (torch.stack([d[part] for d in drawn]) for part in (1, 2))
    assert abs((t < 0.5).double().mean() - 0.25) < 0.03  # half of the uniform half; sigmoid(N(5, 1)) is never there
    assert abs((drop < 0.1).double().mean() - 0.1) < 0.02
    assert drop.min() >= 0 and drop.max() < 1
    noise = torch.stack([d[0] for d in drawn])
    assert abs(noise.mean()) < 0.07 and abs(noise.std() - 1) < 0.05


def test_loss_is_the_published_mse_on_the_straight_way():
    batch, noise, t = batch_of(), torch.randn(3, 16, 4, 8), torch.tensor([0.1, 0.5, 0.9])
    guess, seen = torch.randn(3, 16, 4, 8), []

    def predict(noisy, time, given):
        seen.append(noisy)
        assert time is t and given is batch
        return guess

    loss = flow_matching_loss(predict, batch, noise, t)
    torch.testing.assert_close(loss, F.mse_loss(pack(guess), pack(noise) - pack(batch["target"])))
    for i in range(3):
        torch.testing.assert_close(seen[0][i], (1 - t[i]) * batch["target"][i] + t[i] * noise[i])
    assert flow_matching_loss(lambda *_: noise - batch["target"], batch, noise, t) == 0


def test_weights_multiply_their_cells():
    batch, noise, t = batch_of(), torch.randn(3, 16, 4, 8), torch.tensor([0.1, 0.5, 0.9])
    guess = torch.randn(3, 16, 4, 8)
    error = (guess - (noise - batch["target"])).square()
    total = 0.0
    for b, row, column in ((b, r, c) for b in range(3) for r in range(4) for c in range(8)):
        weight = 0.1 if column < 4 else 5.0 if batch["changed"][b, 0, row, column] > 0 else 1.0
        total += weight * float(error[b, :, row, column].sum())
    loss = flow_matching_loss(lambda *_: guess, batch, noise, t, left_weight=0.1, changed_weight=5.0)
    torch.testing.assert_close(float(loss), total / error.numel(), rtol=1e-5, atol=0)
    unboosted = edit_weights(batch["changed"][..., 4:] > 0, 5.0)
    assert set(unboosted.flatten().tolist()) <= {1.0, 5.0}
    without = {name: value for name, value in batch.items() if name != "changed"}
    left_off = flow_matching_loss(lambda *_: guess, without, noise, t, left_weight=0.0)
    torch.testing.assert_close(left_off, error[..., 4:].mean() / 2)


def test_small_edits_weigh_more_up_to_the_boost():
    changed = torch.zeros(4, 1, 8, 8, dtype=torch.bool)
    changed[0] = True
    changed[1, :, :4, :4] = True  # a quarter: twice the weight
    changed[2, :, 0, 0] = True  # a 64th: eight times, were it not for the boost
    weight = edit_weights(changed, 5.0, 4.0)
    assert [float(weight[i].max()) for i in range(4)] == pytest.approx([5, 10, 20, 1])
    assert torch.equal(weight != 1, changed)
    batch, noise, t = batch_of(), torch.randn(3, 16, 4, 8), torch.tensor([0.1, 0.5, 0.9])
    guess = torch.randn(3, 16, 4, 8)
    right = edit_weights(batch["changed"][..., 4:] > 0, 2.0, 3.0)
    wanted = (guess - (noise - batch["target"])).square() * torch.cat([torch.full_like(right, 0.1), right], dim=3)
    weights = {"left_weight": 0.1, "changed_weight": 2.0, "small_edit_boost": 3.0}
    torch.testing.assert_close(flow_matching_loss(lambda *_: guess, batch, noise, t, **weights), wanted.mean())
