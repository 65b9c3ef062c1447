"""The rules of computing only what changes: schedules, tokens, shapes, selectors, and SpotEdit's recorded latents."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from icedit_core.only_changes import cosine, kept, l4, morphology, region, schedule, spot, tokens, told
from tests.rounding import assert_rounded

GOLDEN = Path(__file__).parents[1] / "fixtures" / "spotedit"
CONFIG = json.loads((GOLDEN / "config.json").read_text(encoding="utf-8"))
GRID = tokens.Grid(*CONFIG["tokens_hw"], 2)


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "io.safetensors")


@pytest.mark.parametrize(
    ("steps", "last", "expected"),
    [
        (50, 0, {0, 1, 2, 3, 13, 22, 31}),
        (28, 0, {0, 1, 7, 12, 17}),
        (28, 7, {0, 1, 7, 12, 17, *range(21, 28)}),
        (12, 0, {0, 3, 5}),
        (4, 0, {0}),
        (1, 3, {0}),
    ],
)
def test_full_steps_of_spot_scale_with_the_steps(steps, last, expected):
    assert schedule.spot(steps, last) == expected


def test_full_steps_of_region():
    assert schedule.region(28) == {*range(6), 15, 26, 27}
    assert schedule.region(1) == {0} and {0, 7} <= schedule.region(8)


def test_listed_full_steps():
    assert schedule.listed("node", " 1-3, 9,", 8) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match=r"node: full_steps is 'a-b'.*'0-2, 6'"):
        schedule.listed("node", "a-b", 8)


def test_a_sigma_belongs_to_the_step_that_begins_there():
    sigmas = (1.0, 0.75, 0.5, 0.0)
    asked = (1.0, 0.9, 0.75, 0.75 + 1e-6, 0.6, 0.5, 1e-3)
    assert [schedule.step_of(sigma, sigmas) for sigma in asked] == [0, 0, 1, 1, 1, 2, 2]
    assert schedule.step_of(1.01, sigmas) is None and schedule.step_of(0.0, sigmas) is None


def test_tokens_of_latents_and_masks():
    latent = torch.arange(2 * 3 * 5 * 6.0).view(2, 3, 5, 6)
    grid = tokens.grid_of(latent, 2)
    assert grid == (3, 3, 2) and tokens.to_tokens(latent, grid).shape == (2, 9, 12)
    assert torch.equal(tokens.to_tokens(latent, grid)[0, 4], latent[0, :, 2:4, 2:4].flatten())
    mask = torch.zeros(1, 48, 48)
    mask[0, 40, 3] = 1
    assert torch.nonzero(tokens.of_mask(mask, grid)).tolist() == [[0, 6]]
    assert tokens.of_mask(torch.ones(1, 2, 2), grid).all()
    chosen = tokens.to_latent(tokens.of_mask(mask, grid), grid, latent)
    assert chosen.shape == (1, 1, 5, 6) and torch.nonzero(chosen[0, 0]).tolist() == [[4, 0], [4, 1]]
    assert tokens.union(torch.tensor([[True, False, False], [False, False, True]])).tolist() == [0, 2]


def test_shapes_grow_and_shrink_by_the_grid():
    grid = tokens.Grid(5, 5, 2)
    speck = torch.zeros(1, 25, dtype=torch.bool)
    speck[0, 12] = True
    block = morphology.dilated(speck, 1, grid)
    assert block.sum() == 9 and torch.equal(morphology.eroded(block, 1, grid), speck)
    assert morphology.eroded(torch.ones(1, 25, dtype=torch.bool), 2, grid).all(), "the border takes nothing away"
    assert not morphology.eroded(speck, 1, grid).any() and torch.equal(morphology.dilated(speck, 0, grid), speck)
    sides = {6: (0, 0), 12: (0, 0), 32: (1, 1), 64: (1, 2), 128: (2, 4)}
    for side, radii in sides.items():
        found = tuple(morphology.scaled(radius, tokens.Grid(side, side, 2)) for radius in (1, 2))
        assert found == radii, side


def test_selectors_by_hand():
    one, other = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]]), torch.tensor([[[0.0, 2.0], [2.0, 2.0]]])
    torch.testing.assert_close(cosine.distance(one, other), torch.tensor([[1.0, 0.0]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(l4.distance(one, other), torch.tensor([[8.5, 1.0]]))


def test_a_threshold_that_leaves_nothing_is_halved():
    grid, distance = tokens.Grid(1, 3, 2), torch.tensor([[0.0, 0.03, 0.011]])
    assert spot.active(distance, 0.1, 0, grid).tolist() == [[False, True, False]]
    assert not spot.active(torch.zeros(1, 3), 0.1, 0, grid).any(), "the estimate is the source"
    only = torch.tensor([[True, False, True]])
    assert spot.active(distance, 0.1, 1, grid, only).tolist() == [[False, False, True]]


def test_velocities_of_the_recorded_run(io):
    """Stale velocities and Euler, by the core's rules, give the recorded latents; spared estimates never move."""
    sigmas, latents, velocity = io["sigmas"], io["lpips.latents"], io["lpips.velocity"]
    reuse = io["lpips.reuse"].bool()
    for step in range(1, CONFIG["num_steps"]):
        merged = spot.stale(velocity[step], velocity[step - 1], ~reuse[step])
        assert torch.equal(merged, velocity[step])
        expected = latents[step - 1] + (sigmas[step] - sigmas[step - 1]) * velocity[step - 1]
        assert_rounded(latents[step], expected, about=f"step {step}")
        held = (latents[step] - sigmas[step] * velocity[step])[reuse[step]]
        before = (latents[step - 1] - sigmas[step - 1] * velocity[step - 1])[reuse[step]]
        assert not len(held) or (held - before).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "measure"), [("cosine", cosine), ("l4_dilated", l4)])
def test_recorded_scores_choose_the_recorded_tokens(io, name, measure):
    """Scores as the published code gives them, and what its dilation makes of them."""
    recipe, scores = CONFIG[name], io[f"{name}.scores"]
    distance = 1 - scores if name == "cosine" else scores
    threshold = 1 - recipe["threshold"] if name == "cosine" else recipe["threshold"]
    for row, step in zip(distance, io["spot_steps"].tolist(), strict=True):
        chosen = spot.active_of_first_code(row[None], threshold, recipe["dilation_radius"], GRID)
        assert torch.equal(~chosen[0], io[f"{name}.reuse"][step].bool()), step
    first = CONFIG["cache_steps"]["spot"]
    if name == "cosine":  # the first asked step stands behind full ones, which all cases share
        x0 = io["lpips.latents"][first - 1] - io["sigmas"][first - 1] * io["lpips.velocity"][first - 1]
        got = measure.distance(x0[None], io["reference_tokens"])
        assert_rounded(got, distance[:1])


def test_the_straight_velocity_ends_in_the_source():
    x, source = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    torch.testing.assert_close(x - 0.3 * spot.straight(x, source, 0.3), source)


def test_published_gammas_reuse_most_of_the_19_short_steps():
    """28 steps on Kontext's own sigmas for 1024 x 1024 px (shift exp(1.15)); the first short step is computed."""
    time = torch.linspace(1, 1 / 28, 28, dtype=torch.float64)
    shift = torch.tensor(1.15, dtype=torch.float64).exp()
    sigmas = [*(shift / (shift + 1 / time - 1)).tolist(), 0.0]
    reuse, full = region.VelocityReuse(region.KONTEXT_28, 0.04), schedule.region(28)
    kinds = []
    for step in range(28):
        factor = None if step in full or step == 6 else reuse.factor(step, sigmas)
        if factor is None:
            reuse.computed()
        else:
            assert 0.96 <= factor < 1
        kinds.append("full" if step in full else "short" if factor is None else "reused")
    assert kinds.count("full") == 9 and kinds.count("reused") in (13, 14)
    assert all(region.VelocityReuse(region.KONTEXT_28, 0.0).factor(step, sigmas) is None for step in range(1, 28))


def test_a_fit_gives_back_the_lengths_it_was_made_of():
    sigmas, lengths = (1.0, 0.8, 0.5, 0.2), (2.0, 1.5, 1.2, 1.1)
    gammas = region.fit(lengths, sigmas)
    again = [lengths[0]]
    for step, gamma in enumerate(gammas, 1):
        again.append(again[-1] * gamma * (1 + sigmas[step] - sigmas[step - 1]))
    assert again == pytest.approx(lengths)
    assert region.read_fit("node", "1.0, 0.99 1.01") == (1.0, 0.99, 1.01) and region.read_fit("node", "  ") is None
    with pytest.raises(ValueError, match=r"node: velocity_fit has x, but numbers"):
        region.read_fit("node", "1.0 x")


def test_kept_keys_and_values_are_replaced_row_by_row():
    draw = torch.Generator().manual_seed(0)
    store, place = kept.KeysValues(), ("single", 3)
    keys, values = torch.randn(2, 2, 3, 9, 4, generator=draw)
    store.put(place, ("a", "b"), keys, values)
    assert store.bytes == keys.nbytes + values.nbytes == kept.size(2 * 9, 12, 1, 4)
    assert store.has(("b", "a")) and not store.has(("a", "c")) and not store.has(())
    rows = torch.tensor([1, 4])
    fresh = torch.randn(2, 3, 2 + 2, 4, generator=draw)
    for _ in range(2):
        joined, other = store.join(place, ("a", "b"), fresh, fresh, rows)
        expected = keys.clone()
        expected[:, :, [0, 1, 3, 6]] = fresh
        assert torch.equal(joined, expected) and joined.shape == other.shape
    alone, _ = store.join(place, ("b",), fresh[1:], fresh[1:], rows)
    assert torch.equal(alone, expected[1:])
    store.clear()
    assert store.bytes == 0 and not store.has(("a",))


def test_report_and_picture():
    steps = [told.Step(0, "full", 1.0, 9.0), told.Step(1, "full", 1.0, 2.0)]
    steps += [told.Step(2, "short", 0.25, 0.5), told.Step(3, "reused", 0.0, 0.1)]
    text = told.report("spot by the tokens' cosine, threshold 0.07", steps, 3 << 20, "cpu", ["A note."])
    assert "56 % of the picture's tokens computed in 4 steps, 2 of them in full" in text
    assert "%: 100 100 25 0" in text and "full 2, short 0.5, reused 0.1" in text and "1.74 times as long" in text
    assert "3 MiB on cpu" in text and text.endswith("A note.")
    shares = torch.tensor([[0.0, 1.0]])
    picture = told.picture(torch.full((8, 16, 3), 0.5), shares)
    assert picture.shape == (1, 256, 512, 3)
    assert torch.allclose(picture[0, :, :256], torch.tensor(0.5)) and picture[0, 0, -1, 0] > picture[0, 0, -1, 2] + 0.5


@pytest.mark.parametrize("name", ["only_changes.md", "only_changes.zh.md"])
def test_the_pages_hold_what_is_computed(name):
    """Full steps and what they allow at most, and the memory of kept keys and values."""
    rows = re.findall(r"^\| .*\|$", (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8"), re.M)
    cells = [row.strip("| ").split(" | ") for row in rows]
    numbers = (4, 8, 12, 20, 28, 40, 50)
    for way in (schedule.spot, schedule.region):
        full = [len(way(steps)) for steps in numbers]
        assert list(map(str, full)) in [row[1:] for row in cells]
        assert [f"{steps / one:.1f}" for steps, one in zip(numbers, full, strict=True)] in [row[1:] for row in cells]
    for label, width, blocks, halves in (("57", 3072, 57, 1), ("60", 3072, 60, 2), ("56", 6144, 56, 1)):
        (row,) = [row for row in cells if label in row[0]]
        sizes = [halves * kept.size(512 + tokens, width, blocks, 2) / 2**30 for tokens in (2048, 8192, 32768)]
        assert all(said in ("-", f"{size:.1f}") for said, size in zip(row[1:], sizes, strict=True))
