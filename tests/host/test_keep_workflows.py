"""The workflows that keep what another editor did not edit, on the real server."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from devtools.workflows import keep_unedited

from . import graphs
from .test_filter_workflows import judged_by, published_files, with_small_encoders  # noqa: F401 - a fixture
from .test_rank import judge_server, says_two
from .test_workflows import adapter_file, small_picture  # noqa: F401 - a fixture


@pytest.fixture
def any_files(server):
    """A file of no use under every name that the workflows ask for: they are validated, not loaded."""
    wanted = [keep_unedited.QWEN, keep_unedited.QWEN_CLIP, keep_unedited.QWEN_VAE]
    wanted += [keep_unedited.KLEIN, keep_unedited.KLEIN_CLIP, keep_unedited.FLUX2_VAE]
    file = graphs.WEIGHTS / "icedit_demo_vae.safetensors"
    placed = [server.place_model(f"{one['directory']}/{one['name']}", file) for one in wanted]
    yield
    for path in placed:
        path.unlink()


@pytest.mark.parametrize(
    "name",
    [
        "keep_kontext",
        "keep_qwen_image_edit",
        "keep_flux2",
        "keep_multi_turn",
        "changes_kontext",
        "changes_best_of_kontext",
        "changes_qwen_image_edit",
    ],
)
async def test_they_validate_unchanged(client, published_files, any_files, name):  # noqa: F811
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped(name), "LoadImage", image=picture.widget)
    await client.cancel(await client.queue(graph))


async def small_kontext(client, name):
    """A workflow of Kontext on small files and a small picture: its own sizes are about a megapixel, work for a GPU."""
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = with_small_encoders(graphs.changed(graphs.shipped(name), "LoadImage", image=picture.widget))
    scale = graphs.find(graph, "FluxKontextImageScale")
    graph[scale] |= {"class_type": "ImageScale"}
    graph[scale]["inputs"] |= {"upscale_method": "area", "width": 128, "height": 32, "crop": "disabled"}
    return graph


async def test_best_of_several_that_compute_only_what_changes_goes_back_on_its_source(client, published_files):  # noqa: F811
    graph = await small_kontext(client, "changes_best_of_kontext")
    graph = graphs.changed(graph, "ICEditBestOf", steps=4, early_steps=2, count=2)
    async with judge_server(says_two) as (url, calls):
        result = await client.run(judged_by(graph, url, "ICEditBestOf"), timeout=300)
    assert (await graphs.picture(client, result)).shape == (33, 260, 3) and calls
    assert result.text(graphs.find(graph, "ICEditKeepUnedited"))


async def test_the_sources_size_and_pixels_come_back_from_a_small_kontext(client, published_files):  # noqa: F811
    graph = graphs.changed(await small_kontext(client, "keep_kontext"), "KSampler", steps=1)
    keep = graphs.find(graph, "ICEditKeepUnedited")
    graph["mask"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 260, "height": 33}}
    graph["none"] = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 130, "height": 33}}
    joined = {"destination": ["mask", 0], "source": ["none", 0], "x": 0, "y": 0, "operation": "multiply"}
    graph["half"] = {"class_type": "MaskComposite", "inputs": joined}
    graph[keep]["inputs"]["mask"] = ["half", 0]
    graph["before"] = {"class_type": "PreviewImage", "inputs": {"images": graph[keep]["inputs"]["source"]}}
    result = await client.run(graph, timeout=300)
    kept = await graphs.picture(client, result)
    before = np.asarray(Image.open(io.BytesIO(await client.download(result.images("before")[0]))))
    assert kept.shape == before.shape == (33, 260, 3)
    assert np.array_equal(kept[:, :130], before[:, :130]) and not np.array_equal(kept[:, 130:], before[:, 130:])
    assert "by the mask" in result.text(keep)


def of_type(graph, class_type):
    return [number for number, node in graph.items() if node["class_type"] == class_type]


def blots(picture):
    """Draw 60 ellipses of all colours, so that there is something to align by."""
    draw, random = ImageDraw.Draw(picture), np.random.default_rng(0)
    for _ in range(60):
        x, y, rx, ry = (int(v) for v in random.integers(4, 60, 4) * (4, 3, 1, 1))
        draw.ellipse((x - rx // 2, y - ry // 2, x + rx // 2, y + ry // 2), tuple(random.integers(0, 255, 3).tolist()))
    return picture


def painted_by_an_editor(graph):
    """The graph with stock nodes that paint a square in the editor's place, a third of the width further each turn."""
    boxes = []
    for turn, decode in enumerate(of_type(graph, "VAEDecode")):
        box = decode.split(":")[0]
        scaled = graph[f"{box}:101"] = {"class_type": "ImageScale", "inputs": dict(graph[f"{box}:101"]["inputs"])}
        scaled["inputs"] |= {"upscale_method": "bicubic", "width": 256, "height": 192, "crop": "disabled"}
        graph[f"{box}:ink"] = {
            "class_type": "EmptyImage",
            "inputs": {"width": 40, "height": 40, "batch_size": 1, "color": (0xFF0000, 0x00FF00, 0x0000FF)[turn]},
        }
        boxes.append((20 + 80 * turn, 60))
        pasted = {"destination": [f"{box}:101", 0], "source": [f"{box}:ink", 0], "resize_source": False}
        pasted |= {"x": boxes[-1][0], "y": boxes[-1][1]}
        graph[decode] = {"class_type": "ImageCompositeMasked", "inputs": pasted}
        del graph[f"{box}:109"]["inputs"]["vae"]
    return graph, boxes


async def test_turns_of_any_editor_change_their_own_part_alone(client):
    buffer = io.BytesIO()
    blots(Image.new("RGB", (384, 288), (120, 140, 160))).save(buffer, "PNG")
    picture = await client.upload_image(buffer.getvalue(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped("keep_multi_turn"), "LoadImage", image=picture.widget)
    keeps, (load,) = of_type(graph, "ICEditKeepUnedited"), of_type(graph, "LoadImage")
    assert [graph[number]["inputs"]["source"][0] for number in keeps] == [load, *keeps[:-1]]
    graph, boxes = painted_by_an_editor(graph)
    result = await client.run(graph, timeout=300)
    kept = await graphs.picture(client, result)
    source = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    changed = (kept != source).any(-1)
    inside = np.zeros_like(changed)
    for x, y in boxes:  # in the source's pixels, with a rim for what resampling spreads
        inside[y * 3 // 2 - 6 : (y + 40) * 3 // 2 + 6, x * 3 // 2 - 6 : (x + 40) * 3 // 2 + 6] = True
    assert kept.shape == source.shape and changed[inside].mean() > 0.5
    assert changed[~inside].mean() < 0.02
