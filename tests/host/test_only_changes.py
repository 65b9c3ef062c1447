"""ICEdit Only What Changes on the real host: SpotEdit's recorded runs, exactness, and memory."""

import pytest
import torch

from icedit_core.only_changes import kept

from ..rounding import FLOAT32, error
from . import condition_case
from . import only_changes_case as editors
from . import spotedit_case as case

RECORDED = 1e-4


@pytest.fixture(scope="module")
def ours(pack):
    return editors.ours()


@pytest.fixture(scope="module")
def model(pack):
    return case.load(case.weights())


@pytest.fixture(scope="module")
def io():
    return case.recorded()


def reused(session):
    """(steps, tokens) uint8 as recorded: 1 = not computed."""
    tokens = session.source.grid.tokens
    rows = [torch.zeros(tokens, dtype=torch.bool) if one.chosen is None else ~one.chosen for one in session.steps]
    return torch.stack(rows).byte()


CASES = {
    "lpips_straight": {"selector": "decoder", "flow": "source"},
    "lpips": {"selector": "decoder", "flow": "own"},
    "cosine": {"selector": "cosine", "flow": "own"},
    "l4_dilated": {"selector": "L4", "flow": "own", "grow": 1, "first_code": True, "whole_from": 1.0},
}


@pytest.mark.parametrize("name", CASES)
def test_recorded_runs_of_the_published_code(ours, model, io, name):
    """The same tokens at every step, and the same latent."""
    recipe = case.CONFIG[name]
    threshold = 1 - recipe["threshold"] if recipe["judge_method"] == "cosine" else recipe["threshold"]
    chosen = {"grow": 0, "threshold": threshold, "full_steps": case.FULL} | CASES[name]
    vae = case.vae() if chosen["selector"] == "decoder" else None
    heard = []
    final = case.sample(ours.attach(model, heard, vae=vae, **chosen))
    assert torch.equal(reused(heard[0]), io[f"{name}.reuse"])
    assert error(final, io[f"{name}.final"]) < RECORDED


KINDS = ("flux2", "qwen", "fill")


@pytest.fixture(scope="module")
def small(pack):
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = editors.small(kind)
        return made[kind]

    return get


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["spot", "region"])
def test_nothing_spared_is_the_stock_model_bit_for_bit(ours, small, kind, method):
    """A region that covers everything: the hooks are in force and change nothing."""
    model, heard = small(kind), []
    given = editors.inputs(model, kind)
    everything = {"mask": torch.ones(1, 8, 8), "mask_use": "fix", "method": method}
    done = editors.sample(ours.attach(model, heard, **everything), given)
    assert torch.equal(done, editors.sample(model, given))
    assert [step.share for step in heard[0].steps] == [1.0] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_step_straight_after_a_full_one_gives_the_same_tokens(ours, small, kind, monkeypatch):
    """At the same x and sigma: what is computed equals the full step; what is spared is the source."""
    import comfy.sample
    import comfy.samplers
    from icedit_pack.icedit_core.only_changes import schedule

    model, heard, seen, calls = small(kind), [], [], iter(range(9))
    noise, positive, latent = editors.inputs(model, kind)
    patched = ours.attach(model, heard, full_steps="0", **editors.half())
    monkeypatch.setattr(schedule, "step_of", lambda sigma, sigmas: next(calls))  # every call is a step of its own

    def twice(net, x, sigmas, extra_args=None, callback=None, disable=None):
        seen.extend(net(x, sigmas[0] * x.new_ones(len(x)), **extra_args) for _ in range(2))
        return x

    sigmas = torch.tensor([0.7, 0.5, 0.3, 0.0])
    with torch.no_grad():
        comfy.sample.sample_custom(
            patched, noise, 1.0, comfy.samplers.KSAMPLER(twice), sigmas, positive, positive, latent, disable_pbar=True
        )
    full, short = seen
    assert [step.kind for step in heard[0].steps] == ["full", "short"]
    spared = ~heard[0].source.grid_mask(heard[0].steps[1].chosen, full)
    active = ~spared.expand_as(full)
    assert error(short[active], full[active]) < FLOAT32
    source = heard[0].source.like(full)
    assert torch.equal(short[~active], source[~active]) and 0 < active.float().mean() < 0.7
    assert error(short[active], source[active]) > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["spot", "region"])
def test_part_of_the_picture_is_computed_and_the_rest_ends_in_the_source(ours, small, kind, method):
    model, heard = small(kind), []
    given = editors.inputs(model, kind)
    done = editors.sample(ours.attach(model, heard, method=method, **editors.half()), given, steps=8)
    session = heard[0]
    kinds = [step.kind for step in session.steps]
    assert kinds.count("short") >= 3 and set(kinds) == {"full", "short"}
    if method == "spot":
        spared = ~session.source.grid_mask(session.steps[-1].chosen, done).expand_as(done)
        source = model.model.process_latent_out(session.source.like(done))
        assert error(done[spared], source[spared]) < 1e-5
    assert session.most_bytes > 0 and not session.kept.bytes
    assert torch.isfinite(done).all()


@pytest.mark.parametrize("kind", KINDS)
def test_halves_of_guidance_have_keys_and_values_of_their_own(ours, small, kind):
    """With other words in the negative, batched or one by one, the result is the same."""
    model = small(kind)
    given = editors.inputs(model, kind)
    other = editors.inputs(model, kind, words=9, seed=1)[1]
    same = editors.inputs(model, kind, words=7, seed=1)[1]
    same[0][1].update({name: value for name, value in given[1][0][1].items() if name != "pooled_output"})
    patched = ours.attach(model, **editors.half())
    for negative in (other, same):
        got = editors.sample(patched, given, cfg=3.0, negative=negative, steps=4)
        apart = editors.sample(
            ours.attach(one_by_one(model), **editors.half()), given, cfg=3.0, negative=negative, steps=4
        )
        assert error(got, apart) < FLOAT32


def one_by_one(model):
    """A clone whose conditionings never share a model call."""
    clone = model.clone()

    def apart(executor, base, conds, x, timestep, options):
        from comfy.patcher_extension import copy_nested_dicts

        results = []
        for cond in conds:
            results.append(None if cond is None else executor(base, [cond], x, timestep, copy_nested_dicts(options))[0])
        return [torch.zeros_like(x) if one is None else one for one in results]

    clone.add_wrapper_with_key("calc_cond_batch", "apart", apart)
    return clone


def test_a_batch_computes_the_union_of_its_members(ours, small):
    model, heard = small("fill"), []
    given = editors.inputs(model, "fill", batch=2)
    editors.sample(ours.attach(model, heard, grow=0, threshold=0.9, whole_from=1.0), given)
    short = [step for step in heard[0].steps if step.kind == "short"]
    assert short and all(0 < step.share < 0.5 for step in short)


@pytest.mark.parametrize("method", ["spot", "region"])
def test_an_edit_of_the_whole_picture_is_computed_in_full_and_said(ours, small, method):
    model, heard = small("fill"), []
    given = editors.inputs(model, "fill")
    edited = editors.sample(ours.attach(model, heard, method=method, grow=0, threshold=0.9), given)
    assert heard[0].whole_steps and torch.equal(edited, editors.sample(model, given))
    assert f"More than 60 % of the picture changed at {heard[0].whole_steps} of the steps" in ours.words(heard[0])
    part = {"mask": torch.ones(1, 8, 8), "mask_use": "fix"}
    part["mask"][:, :2] = 0  # a quarter is spared, as the mask says
    editors.sample(ours.attach(model, heard, method=method, **part), given)
    assert not heard[1].whole_steps and "short" in {step.kind for step in heard[1].steps}


def test_reference_modulated_at_zero_and_of_another_size(ours, pack):
    """Qwen-Image-Edit 2511's method, with a source latent of the sampled size."""
    (model, given, source), heard = editors.qwen_2511(), []
    with pytest.raises(
        ValueError, match=r"the first reference is 16 x 1 x 8 x 10, but the sampled latent.*as this node"
    ):
        editors.sample(ours.attach(model), given)
    done = editors.sample(ours.attach(model, heard, source=source, **editors.half()), given, steps=8)
    spared = ~heard[0].source.grid_mask(heard[0].steps[-1].chosen, done).expand_as(done)
    assert error(done[spared], source["samples"][spared]) < 1e-5
    stock = editors.sample(model, given, steps=8)
    assert error(done[~spared], stock[~spared]) < error(done[spared], stock[spared])
    everything = ours.attach(model, source=source, mask=torch.ones(1, 8, 8), mask_use="fix")
    assert torch.equal(editors.sample(everything, given, steps=8), stock)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"area": (4, 4, 0, 0)}, "covers a part of the picture"),
        ({"attention_mask": torch.ones(1, 7), "attention_mask_img_shape": (8, 16)}, "attention mask"),
    ],
)
def test_what_cannot_be_held_is_computed_in_full_and_said(ours, small, more, why):
    model, heard = small("qwen"), []
    given = editors.inputs(model, "qwen", **more)
    try:
        done = editors.sample(ours.attach(model, heard, **editors.half()), given)
    except RuntimeError:
        pytest.skip("the host itself does not take this conditioning for this model")
    assert why in heard[0].always_full and {step.kind for step in heard[0].steps} == {"full"}
    assert torch.equal(done, editors.sample(model, given))


def test_guidance_that_calls_the_model_again_is_computed_in_full_and_said(ours, small):
    """Skip-layer guidance and its like ask for a conditioning twice, the second time of another model."""
    import comfy.samplers

    model, heard = small("fill").clone(), []

    def again(args):
        (more,) = comfy.samplers.calc_cond_batch(
            args["model"], [args["cond"]], args["input"], args["sigma"], args["model_options"]
        )
        return args["denoised"] + 0.1 * (args["denoised"] - more)

    model.set_model_sampler_post_cfg_function(again)
    given = editors.inputs(model, "fill")
    done = editors.sample(ours.attach(model, heard, **editors.half()), given)
    assert "several times" in heard[0].always_full and {step.kind for step in heard[0].steps} == {"full"}
    assert torch.equal(done, editors.sample(model, given))


def test_core_kv_cache_and_x2edit_are_refused_by_name(ours, small, model):
    import icedit_pack.nodes.host.source_tokens as source_tokens

    class KV_Attn_Input:
        def __call__(self, q, k, v, **_):
            return {}

    cached = small("flux2").clone()
    cached.set_model_attn1_patch(KV_Attn_Input())
    with pytest.raises(ValueError, match=r"ICEdit Only What Changes.*Flux KV Cache.*bypass one"):
        ours.attach(cached)
    later = ours.attach(small("flux2"))
    later.set_model_attn1_patch(KV_Attn_Input())
    with pytest.raises(ValueError, match="Flux KV Cache"):
        editors.sample(later, editors.inputs(later, "flux2"))
    edited = model.clone()
    source_tokens.read_source(edited, "X2")
    with pytest.raises(ValueError, match="ICEdit X2 Adapter"):
        ours.attach(edited)


def test_a_missing_source_is_named(ours, small):
    model = small("flux2")
    with pytest.raises(ValueError, match=r"the first reference is missing.*ReferenceLatent"):
        editors.sample(ours.attach(model), editors.inputs(model, "flux2", references=0))
    fill = small("fill")
    noise, cond, latent = editors.inputs(fill, "fill")
    with pytest.raises(ValueError, match=r"the sampled latent is empty.*InpaintModelConditioning"):
        editors.sample(ours.attach(fill), (noise, cond, torch.zeros_like(latent)))


@pytest.mark.parametrize(
    ("size", "steps", "in_cpu_memory"), [((6, 8), 5, False), ((6, 8), 10, True), ((8, 12), 5, False)]
)
def test_memory_is_what_was_computed_beforehand_and_counted(ours, small, size, steps, in_cpu_memory):
    """In the model's memory or the CPU's: it grows with text, picture and reference, and not with the steps."""
    import comfy.model_management

    model, heard, counted = small("flux2"), [], []
    patched = ours.attach(model, heard, in_cpu_memory=in_cpu_memory, **editors.half())
    holder = patched.get_additional_models_with_key(ours.key)[0].model

    def look(step, x0, x, total):
        loaded = comfy.model_management.current_loaded_models
        counted.append(sum(one.model_memory() for one in loaded if one.model.model is holder))

    given = editors.inputs(model, "flux2", size=size)
    given[1][0][0] = torch.randn(1, 512, 64)  # the host fills FLUX.2's text up to this
    editors.sample(patched, given, steps=steps, callback=look)
    assert max(counted) == heard[0].most_bytes == kept.size(512 + 2 * size[0] * size[1], 128, 3, 4)


def test_composes_with_another_attention_override_and_block_replacement(ours, small):
    model, calls = small("fill").clone(), []

    def watch(func, *args, **kwargs):
        calls.append(args[0].shape[2])
        return func(*args, **kwargs)

    def replaced(args, extra):
        calls.append("block")
        return extra["original_block"](args)

    model.model_options["transformer_options"]["optimized_attention_override"] = watch
    model.set_model_patch_replace(replaced, "dit", "single_block", 1)
    given = editors.inputs(model, "fill")
    done = editors.sample(ours.attach(model, **editors.half()), given)
    assert torch.equal(done, editors.sample(ours.attach(small("fill"), **editors.half()), given))
    assert "block" in calls and len({length for length in calls if length != "block"}) == 2


def test_velocities_are_used_again_where_a_fit_says_so(ours, model):
    """28 steps of Kontext with the published fit: steps without a model call, and a result near the computed one."""
    sigmas = torch.linspace(1, 0, 29)
    heard = []
    common = {"method": "region"} | editors.half()
    again = case.sample(ours.attach(model, heard, reuse_error=0.04, **common), sigmas=sigmas)
    computed = case.sample(ours.attach(model, heard, reuse_error=0.0, **common), sigmas=sigmas)
    kinds = [step.kind for step in heard[0].steps]
    assert kinds.count("full") == 9 and kinds.count("reused") >= 8
    assert {step.kind for step in heard[1].steps} == {"full", "short"}
    assert 0 < error(again, computed) < 0.2
    with pytest.raises(ValueError, match=r"velocity fit has 5 values, but 28 steps need 27"):
        case.sample(ours.attach(model, reuse_error=0.04, gammas=(1.0,) * 5, **common), sigmas=sigmas)


def test_experts_of_a_moe_lora_route_a_subset_alike(ours, small, pack):
    """The router reads each token alone: with the adapter, short steps compute what full ones would."""
    from icedit_pack.icedit_core.adapters import files
    from icedit_pack.nodes.host import adapters

    adapted = adapters.attach(small("fill"), files.load(condition_case.case.ADAPTER)[0], 1.0, 1)
    given = editors.inputs(adapted, "fill")
    everything = {"mask": torch.ones(1, 8, 8), "mask_use": "fix"}
    assert torch.equal(editors.sample(ours.attach(adapted, **everything), given), editors.sample(adapted, given))
    heard = []
    part = editors.sample(ours.attach(adapted, heard, **editors.half()), given)
    plain = editors.sample(ours.attach(small("fill"), **editors.half()), given)
    assert "short" in {step.kind for step in heard[0].steps} and error(part, plain) > 1e-3
