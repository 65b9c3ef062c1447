"""Previews while sampling: the right panel of a diptych, at its aspect; anything else as the host has it."""

import io
import struct
import uuid

import aiohttp
import pytest
import torch
from PIL import Image

from . import condition_case as conditions
from . import flux_case as case
from . import graphs

PREVIEW = 1  # of the host's binary messages
PANEL, DIPTYCH = (512, 512), (512, 256)  # px, as the host enlarges them


async def preview_sizes(server, graph) -> list[tuple[int, int]]:
    """The sizes of all pictures that the server sends while it runs a prompt, latents shown as RGB."""
    client_id, sizes = uuid.uuid4().hex, []
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect(f"/ws?clientId={client_id}") as socket:
        wish = {"prompt": graph, "client_id": client_id, "extra_data": {"preview_method": "latent2rgb"}}
        async with session.post("/prompt", json=wish) as answer:
            prompt = (await answer.json())["prompt_id"]
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                if struct.unpack(">I", message.data[:4]) == (PREVIEW,):  # else a text for a node
                    sizes.append(Image.open(io.BytesIO(message.data[8:])).size)
                continue
            event = message.json()
            data = event.get("data") or {}
            assert event["type"] != "execution_error", data
            if event["type"] == "executing" and data.get("node") is None and data.get("prompt_id") == prompt:
                return sizes
    raise AssertionError("the websocket was closed")


def demo(seed, **sampler):
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=5, **sampler)
    return graphs.changed(graph, "ICEditDemoScene", seed=seed)


def without_masks(graph):
    """The demo's model on an ordinary picture, painted all over."""
    node = graphs.find(graph, "InpaintModelConditioning")
    graph["all"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 128, "height": 64}}
    graph[node]["inputs"]["mask"] = ["all", 0]
    return graph


async def test_a_ksampler_shows_the_right_panel(server):
    sizes = await preview_sizes(server, demo(31))
    assert len(sizes) >= 5 and sizes[-1] == PANEL
    assert [size for size in sizes if size != PANEL] == [DIPTYCH], "the host's callback hears of the last step itself"


@pytest.mark.parametrize("noise_mask", [True, False])
async def test_with_and_without_a_noise_mask(server, noise_mask):
    graph = graphs.changed(demo(32), "InpaintModelConditioning", noise_mask=noise_mask)
    assert (await preview_sizes(server, graph))[:4] == [PANEL] * 4


async def test_what_is_no_diptych_is_shown_whole(server):
    sizes = await preview_sizes(server, without_masks(demo(33)))
    assert set(sizes) == {DIPTYCH}


async def test_candidates_are_shown_by_their_panels(server):
    graph = demo(34)
    sample = graph[graphs.find(graph, "KSampler")]
    inputs = {name: sample["inputs"][name] for name in ("model", "positive", "negative", "latent_image", "cfg", "seed")}
    inputs |= {"count": 4, "steps": 5, "early_steps": 2, "sampler_name": "euler", "scheduler": "simple", "batch": 1}
    graph["candidates"] = {"class_type": "ICEditCandidates", "inputs": inputs}
    sample |= {"class_type": "ICEditFinish", "inputs": {"candidates": ["candidates", 0], "index": 1, "restart": False}}
    sizes = await preview_sizes(server, graph)
    assert len(sizes) == 4 * 2 + 3 and set(sizes) == {PANEL}, "two by two panels; diptychs would be one above another"


@pytest.fixture
def panels(pack):
    """A model with the wrapper and one without, and a conditioning that repaints the right half."""
    from icedit_pack.nodes.host import previews

    mask = torch.zeros(1, 1, 64, 128)
    mask[..., 64:] = 1
    plain = case.load(case.weights())
    positive = conditions.conditioning(concat_mask=mask)
    return plain, previews.show_right_panel(plain.clone()), positive, previews


def host_callback(model, kept):
    import latent_preview

    return latent_preview.prepare_callback(model, 4, kept)


def test_the_last_estimate_is_kept_whole_and_the_latent_is_the_same(panels):
    """SamplerCustom gives that estimate out as denoised_output."""
    plain, ours, positive, _ = panels
    expected, got = {}, {}
    a = conditions.sample(plain, positive, callback=host_callback(plain, expected))
    b = conditions.sample(ours, positive, callback=host_callback(ours, got))
    assert torch.equal(a, b) and torch.equal(expected["x0"], got["x0"])


def test_a_callback_that_is_not_the_hosts_hears_everything_once(panels):
    _, ours, positive, _ = panels
    heard = []
    conditions.sample(ours, positive, callback=lambda step, x0, x, total: heard.append((step, tuple(x0.shape), total)))
    assert heard == [(step, (1, *conditions.LATENT), 4) for step in range(4)]


def test_loaded_twice_the_half_is_not_halved(panels, monkeypatch):
    plain, ours, positive, previews = panels
    import latent_preview

    widths = []

    class Previewer:
        def decode_latent_to_preview_image(self, form, x0):
            widths.append(x0.shape[-1])

    monkeypatch.setattr(latent_preview, "get_previewer", lambda *_: Previewer())
    twice = previews.show_right_panel(ours.clone())
    conditions.sample(twice, positive, callback=host_callback(twice, None))
    assert widths == [8, 8, 8, 8, 16, 8]
    conditions.sample(plain, positive, callback=host_callback(plain, None))
    assert widths[6:] == [16] * 4, "a model without the wrapper is as always"


@pytest.mark.parametrize(
    ("left", "right", "width", "expected"),
    [(0, 1, 8, True), (0, 0, 8, False), (1, 1, 8, False), (1, 0, 8, False), (0, 1, 7, False)],
)
def test_a_diptych_repaints_the_right_half_alone(panels, left, right, width, expected):
    mask = torch.full((1, 1, 4, width), float(left))
    mask[..., width // 2 :] = right
    is_diptych = panels[3].is_diptych
    assert is_diptych([{"concat_mask": mask}], None) is expected
    assert is_diptych([{}], mask) is expected
    assert is_diptych([{"concat_mask": mask}], torch.ones_like(mask)) is expected, "the conditioning's mask counts"
    assert is_diptych([{}], None) is False
