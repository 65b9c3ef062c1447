"""Training on from the shipped weights: what learns, at what rates; every stage understands its command."""

import importlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from demo.model_files import WEIGHTS
from workshop import attention, pool, train, train_autoencoder, train_base
from workshop import plain_scenes as scenes
from workshop.autoencoder import TinyAutoencoder, full_state_dict
from workshop.begin import falling, load_autoencoder
from workshop.muon import resume, set_lr

from ..rounding import FLOAT32, error

STAGES = train.stages(Path("/state"), ["moe_lora", "normal_lora"], 6, 4000, 1500)


@pytest.mark.parametrize("command", [command for _, command in STAGES], ids=lambda command: " ".join(command[:1]))
def test_a_stage_understands_its_command(command: list[str]):
    module, *options = command
    args = importlib.import_module(f"workshop.{module}").parsed(options)
    assert args.state.is_relative_to("/state")
    if module == "train_base":
        assert (args.steps, args.share, args.begin) == (4000, train.BASE_SHARE, WEIGHTS)


def test_the_decoder_learns_alone_at_a_share_of_the_rates(tmp_path: Path):
    model, optimisers, _, _ = train_autoencoder.start_from(tmp_path, WEIGHTS, share=0.5, decoder_only=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert [group["lr"] for one in optimisers for group in one.param_groups] == [
        0.5 * train_autoencoder.MUON_LR,
        0.5 * train_autoencoder.ADAM_LR,
    ]
    train_autoencoder.loss_of(model, torch.rand(1, 3, 32, 64)).backward()
    for optimiser in optimisers:
        optimiser.step()
    learned = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert learned == {"taesd_decoder"}


def test_a_block_that_its_file_leaves_out_begins_as_a_new_one(tmp_path: Path):
    model = TinyAutoencoder()
    state = full_state_dict(model)
    for key in [key for key in state if key.startswith("taesd_decoder.10.conv.")]:
        state[key] = torch.zeros_like(state[key])
    save_file(state, tmp_path / "icedit_demo_vae.safetensors")
    begun = load_autoencoder(tmp_path)
    assert begun.taesd_decoder[10].conv[0].weight.std() > 0
    assert not begun.taesd_decoder[10].conv[4].weight.any()
    latent = torch.rand(1, 16, 2, 2)
    assert error(begun.decode(latent), model.decode(latent)) < FLOAT32
    assert torch.equal(begun.taesd_decoder[9].conv[0].weight, model.taesd_decoder[9].conv[0].weight)


def test_a_decoder_alone_needs_weights_to_begin_from(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        train_autoencoder.parsed(["--state", "x", "--decoder-only"])
    assert "--begin" in capsys.readouterr().err


def test_rates_fall_from_the_start():
    rates = [falling(step / 4000, step) for step in range(4000)]
    assert rates[0] == pytest.approx(0.0101) and max(rates) == rates[99] > 0.98 and rates[-1] < 0.011
    assert all(one > next for one, next in zip(rates[99:], rates[100:], strict=False))


def test_a_training_goes_on_at_the_rates_of_now():
    parameter = torch.nn.Parameter(torch.ones(3))
    first, second = (torch.optim.AdamW([parameter], lr=lr) for lr in (0.1, 0.4))
    set_lr([first], 0.5)
    resume(second, first.state_dict())
    set_lr([second], 0.5)
    assert second.param_groups[0]["lr"] == pytest.approx(0.2)


def test_attention_by_products_is_torchs_with_its_gradients():
    given = torch.randn(3, 2, 2, 9, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    plain = torch.nn.functional.scaled_dot_product_attention
    (expected,) = torch.autograd.grad(plain(*given).square().sum(), given)
    with attention.by_products():
        patched = torch.nn.functional.scaled_dot_product_attention
        assert patched is attention.attention
        (got,) = torch.autograd.grad(patched(*given).square().sum(), given)
        mask = torch.ones(9, 9, dtype=torch.bool).tril()
        assert torch.equal(patched(*given, attn_mask=mask), plain(*given, attn_mask=mask))
    assert error(got, expected) < FLOAT32 and torch.nn.functional.scaled_dot_product_attention is plain


@pytest.mark.parametrize("mean", [0.0, 1.2])
def test_times_are_drawn_in_strata(mean: float):
    torch.manual_seed(0)
    batches = torch.stack([train_base.draw_times(48, mean) for _ in range(400)])
    assert batches.min() > 0 and batches.max() < 1
    plain = torch.sigmoid(mean + 1.3 * torch.randn(36_000))
    plain = torch.cat([plain, torch.rand(12_000)])
    shares = torch.linspace(0.05, 0.95, 10)
    assert torch.allclose(batches.flatten().quantile(shares), plain.quantile(shares), atol=0.01)
    alone = plain[torch.randint(len(plain), (400, 48))]
    assert batches.mean(1).std() < 0.1 * alone.mean(1).std()
    assert not torch.equal(batches[0].sort().values, batches[0])


def test_swaps_of_large_things_are_shown_more_often():
    edits = [scenes.make(seed, 16, task=task).edit for seed in range(60) for task in ("swap", "recolour")]
    large = torch.tensor([edit.task == "swap" and edit.old.radius > pool.LARGE for edit in edits])
    ring = pool.Ring(len(edits))
    ring.put(edits, torch.arange(len(edits)))
    torch.manual_seed(0)
    shown = torch.bincount(ring.sample(60_000)[1][0], minlength=len(edits)).float()
    assert 0 < large.sum() < len(edits) / 2
    assert shown[large].mean() / shown[~large].mean() == pytest.approx(pool.LARGE_FACTOR, rel=0.05)
