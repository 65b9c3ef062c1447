"""ICEdit DirectEdit on the real host: the published code's recorded runs, and what must be equal to the bit."""

import pytest
import torch

from ..rounding import error
from .directedit_case import Case, run

RECORDED = 1e-4  # the last steps divide by a noise level of .003


@pytest.fixture(scope="module")
def node(pack):
    from icedit_pack.nodes.directedit import ICEditDirectEdit

    return ICEditDirectEdit


@pytest.fixture(scope="module", params=["flux", "sd3"])
def case(request):
    return Case(request.param)


@pytest.fixture(scope="module")
def model(case, pack):
    return case.model()


def settings(case, name):
    more = {"injected_steps": case.config["injected_steps"][name][1]}
    if name == "c":
        more |= {"mask": case.mask(), "dilation": case.dilation}
    return more


@pytest.mark.parametrize("values", ["memory", "replay"])
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_every_step_of_the_recorded_runs(node, case, model, name, values):
    edited, again, states, text = run(node, case, model, values=values, **settings(case, name))
    expected = [*case.latents("all_latents")[1:], *case.latents(f"{name}.tar_latents")[1:]]
    assert len(states) == len(expected) == 2 * case.steps
    for number, (got, recorded) in enumerate(zip(states, expected, strict=True)):
        assert error(got[0], recorded) < RECORDED, number
    final = model.model.process_latent_in(edited)
    assert error(final, case.latents(f"{name}.final_target")) < RECORDED
    assert torch.equal(again, case.picture(model)["samples"])
    assert "Experimental" not in text


def test_injection_and_mask_each_change_the_result(node, case, model):
    a, b, c = (run(node, case, model, **settings(case, name))[0] for name in "abc")
    assert error(b, a) > 0.03 and error(c, b) > 0.3


@pytest.mark.parametrize("method", ["directedit", "flowedit"])
@pytest.mark.parametrize("injected", [0, 2, 5])
def test_equal_prompts_give_the_source_itself(node, case, model, injected, method):
    more = {"method": method, "target": "src", "injected_steps": injected, "target_guidance": 1.0}
    edited, again, states, text = run(node, case, model, **more)
    source = case.picture(model)["samples"]
    assert torch.equal(edited, source) and torch.equal(again, source)
    assert torch.equal(states[-1], model.model.process_latent_in(source)), "in the model's own scale too"
    assert "the source itself" in text and "error 0 " in text


@pytest.mark.parametrize("method", ["directedit", "euler", "rf_solver", "flowedit"])
def test_outside_the_mask_the_latent_is_the_sources(node, case, model, method):
    more = {"method": method, "blocks": "all", "schedule": "simple", "mask_pooling": "area", "injected_steps": 2}
    source = case.picture(model)["samples"]
    mask = torch.zeros(1, 64, 96)
    assert torch.equal(run(node, case, model, mask=mask, **more)[0], source)
    mask[:, 16:48, 32:64] = 1
    edited = run(node, case, model, mask=mask, **more)[0]
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[2:6, 4:8] = True
    assert torch.equal(edited[..., ~inside], source[..., ~inside])
    assert (edited[..., inside] != source[..., inside]).float().mean() > 0.9
    latent = {"samples": source, "noise_mask": mask}
    assert torch.equal(run(node, case, model, latent=latent, **more)[0], edited), "the latent's own mask"


def test_injecting_a_runs_own_values_changes_nothing(node, case, model):
    """Source and target are the same run step by step, so each injected value is the one that is there already."""
    more = {"target": "src", "target_guidance": 1.0, "blocks": "all"}
    plain, injected = (run(node, case, model, injected_steps=steps, **more)[2] for steps in (0, case.steps))
    assert all(torch.equal(a, b) for a, b in zip(plain, injected, strict=True))


def test_kept_and_replayed_values_are_the_same_bits(node, case, model):
    more = {"injected_steps": 3, "blocks": "all", "schedule": "simple"}
    for method in ("directedit", "euler", "rf_solver"):
        kept, replayed = (run(node, case, model, method=method, values=how, **more) for how in ("memory", "replay"))
        assert torch.equal(kept[0], replayed[0]), method
        assert "captured in the inversion" in kept[3] and "captured step by step" in replayed[3]


def test_a_batch_is_its_pictures(node, case, model):
    one = case.picture(model)["samples"]
    other = one + 0.3 * torch.randn(one.shape, generator=torch.Generator().manual_seed(1))
    more = {"injected_steps": 2}
    both = run(node, case, model, latent={"samples": torch.cat([one, other])}, **more)[0]
    single = [run(node, case, model, latent={"samples": latent}, **more)[0] for latent in (one, other)]
    assert error(both, torch.cat(single)) < 1e-4 < error(single[0], single[1])


def test_a_later_start_changes_less(node, case, model):
    source = case.picture(model)["samples"]
    early, late = (run(node, case, model, start_step=step)[0] for step in (0, case.steps - 2))
    assert 0 < error(late, source) < error(early, source)
