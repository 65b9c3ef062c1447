"""The attention map on the real host: one call, words where their shape is, and a model that is left as it was."""

import pytest
import torch

from .test_candidates_models import QWEN, without_the_loader


@pytest.fixture(scope="module")
def ours(pack):
    from icedit_pack.nodes.attention_map import ICEditAttentionMap
    from icedit_pack.nodes.host import demo

    return ICEditAttentionMap, demo


@pytest.fixture(scope="module")
def loaded(ours):
    return ours[1].load_demo_model()


@pytest.fixture(scope="module")
def scene(pack):
    """A scene of the demo, its caption, the words of one shape in it, and where that shape is."""
    from icedit_pack.demo import scenes
    from icedit_pack.demo.scenes.draw import caption

    made = scenes.make(scenes.UNSEEN + 1000048, 96, "recolour")
    where = torch.from_numpy(scenes.changed_pixels(made.source, made.target))
    return torch.from_numpy(made.source)[None], caption(made.edit.before), made.edit.old.name, where


def asked(ours, loaded, scene, words=None, prompt=None, model=None, **more):
    """The demo's base with everything masked, on the scene."""
    import nodes

    picture, caption, shape, _ = scene
    base, clip, vae = loaded
    given = {"sigma": 0.3, "first_block": 0, "last_block": 999, "threshold": 0.0, "seed": 0} | more
    with torch.no_grad():
        text = nodes.CLIPTextEncode().encode(clip, caption)[0]
        everything = torch.ones(picture.shape[:3])
        positive, _, latent = nodes.InpaintModelConditioning().encode(text, text, picture, vae, everything, False)
        node = ours[0].PREPARE_CLASS_CLONE(None)
        out = node.execute(
            model or base, positive, latent, clip, prompt or caption, words or shape, image=picture, **given
        )
    return out.args


def test_the_words_of_a_shape_look_at_it(ours, loaded, scene):
    model = loaded[0]
    calls, options = [], str(model.model_options)
    hook = model.model.diffusion_model.register_forward_pre_hook(lambda *_: calls.append(1))
    mask, picture = asked(ours, loaded, scene)
    hook.remove()
    assert len(calls) == 1 and str(model.model_options) == options
    assert mask.shape == (1, 96, 96) and picture.shape == (1, 96, 96, 3) and mask.max() <= 1
    where = scene[3]
    inside, area = mask[0][where].sum() / mask.sum(), where.float().mean()
    assert inside > 3 * area


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"words": "purple elephant"}, "the words are not in the prompt"),
        ({"words": "   "}, "the words are not in the prompt"),
        ({"first_block": 50}, "blocks 50 to 999 are asked for, but the model has 0 to 5"),
    ],
)
def test_bad_input_is_refused_in_words(ours, loaded, scene, more, words):
    with pytest.raises(ValueError, match=f"ICEdit Attention Map: {words}"):
        asked(ours, loaded, scene, **more)


def test_another_model_is_refused_by_name(ours, loaded, scene):
    with pytest.raises(ValueError, match="the model is Qwen-Image, but FLUX is needed"):
        asked(ours, loaded, scene, model=without_the_loader("QwenImage", QWEN))


def test_of_a_diptych_the_right_panel_alone(ours, loaded, scene):
    import nodes

    picture, caption, shape, _ = scene
    model, clip, vae = loaded
    half = torch.zeros(1, 96, 192)
    half[..., 96:] = 1
    with torch.no_grad():
        text = nodes.CLIPTextEncode().encode(clip, caption)[0]
        pair = torch.cat([picture, picture], 2)
        positive, _, latent = nodes.InpaintModelConditioning().encode(text, text, pair, vae, half, True)
        node = ours[0].PREPARE_CLASS_CLONE(None)
        given = {"sigma": 0.3, "first_block": 0, "last_block": 999, "threshold": 0.5, "seed": 0}
        mask, shown = node.execute(model, positive, latent, clip, caption, shape, **given).args
    assert mask.shape == (1, 96, 96) and shown.shape == (1, 96, 96, 3)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
