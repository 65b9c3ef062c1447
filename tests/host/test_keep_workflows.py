"""The workflows that keep what another editor did not edit, on the real server."""

import io

import numpy as np
import pytest
from PIL import Image

from devtools.workflows import keep_unedited

from . import graphs
from .test_filter_workflows import published_files, with_small_encoders  # noqa: F401 - a fixture
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


@pytest.mark.parametrize("name", ["keep_kontext", "keep_qwen_image_edit", "keep_flux2"])
async def test_they_validate_unchanged(client, published_files, any_files, name):  # noqa: F811
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped(name), "LoadImage", image=picture.widget)
    await client.cancel(await client.queue(graph))


async def test_the_sources_size_and_pixels_come_back_from_a_small_kontext(client, published_files):  # noqa: F811
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped("keep_kontext"), "LoadImage", image=picture.widget)
    graph = with_small_encoders(graphs.changed(graph, "KSampler", steps=1))
    # Kontext's own sizes are about a megapixel: work for a GPU.
    scale = graphs.find(graph, "FluxKontextImageScale")
    graph[scale] |= {"class_type": "ImageScale"}
    graph[scale]["inputs"] |= {"upscale_method": "area", "width": 128, "height": 32, "crop": "disabled"}
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
