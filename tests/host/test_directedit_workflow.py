"""The workflows of ICEdit DirectEdit on the real server: run, Cancel, and a second run as if nothing had been."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from devtools.workflows.x2edit import DEV
from icedit_core.client import ExecutionInterrupted

from . import graphs
from .test_filter_workflows import with_small_encoders
from .test_workflows import small_picture
from .test_wrong_models import flux_dev

NODE = "ICEditDirectEdit"


async def test_the_demo_runs_unchanged_is_cancelled_and_runs_again(client):
    graph = graphs.shipped("directedit_demo")
    scene = graphs.find(graph, "ICEditDemoScene")
    graph["before"] = {"class_type": "PreviewImage", "inputs": {"images": [scene, 0]}}
    await client.free()  # cached nodes, of an earlier test, say nothing
    result = await client.run(graph, timeout=600)
    edited = await graphs.picture(client, result)
    assert edited.shape == (256, 256, 3)
    source = np.asarray(Image.open(io.BytesIO(await client.download(result.images("before")[0]))))
    assert (np.abs(edited.astype(int) - source).max(-1) > 60).mean() > 0.3, "the background is another"
    text = result.text(graphs.find(graph, NODE))
    assert "directedit on FLUX.1 Fill: 16 steps, 32 model calls" in text and "Experimental" in text

    stopping = []

    def stop_when_it_samples(step):
        if step.node_type == NODE and step.value and not stopping:
            stopping.append(asyncio.ensure_future(client.interrupt()))

    long = graphs.changed(graph, NODE, steps=1000, injected_steps=1000, blocks="all", values="memory")
    with pytest.raises(ExecutionInterrupted, match=NODE):
        await client.run(long, stop_when_it_samples, timeout=600)
    await client.free()
    assert np.array_equal(await graphs.picture(client, await client.run(graph, timeout=600)), edited)


async def test_flux_dev_small_with_a_mask_and_injection(client, server, tmp_path):
    """The shipped graph on small files, at a size for a CPU: what the mask leaves out is kept to the bit."""
    save_file(flux_dev(), tmp_path / "dev")
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = with_small_encoders(graphs.changed(graphs.shipped("directedit"), "LoadImage", image=picture.widget))
    scale = graphs.find(graph, "FluxKontextImageScale")
    graph[scale] |= {"class_type": "ImageScale"}
    graph[scale]["inputs"] |= {"upscale_method": "area", "width": 64, "height": 32, "crop": "disabled"}
    node = graphs.find(graph, NODE)
    graph["mask"] = {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 64, "height": 32}}
    graph = graphs.changed(graph, NODE, steps=2, injected_steps=1, mask=["mask", 0])
    vae = graphs.find(graph, "VAELoader")
    for name, output in (("edit", 0), ("again", 1)):
        graph[f"{name} decoded"] = {"class_type": "VAEDecode", "inputs": {"samples": [node, output], "vae": [vae, 0]}}
        graph[f"{name} shown"] = {"class_type": "PreviewImage", "inputs": {"images": [f"{name} decoded", 0]}}
    with graphs.small_files(server, {f"diffusion_models/{DEV['name']}": tmp_path / "dev"}):
        result = await client.run(graph, timeout=600)
    shown = [await client.download(result.images(f"{name} shown")[0]) for name in ("edit", "again")]
    edit, again = (np.asarray(Image.open(io.BytesIO(one))) for one in shown)
    assert np.array_equal(edit, again) and edit.shape == (32, 64, 3)
    assert "the mask is empty" in result.text(node) and "Values of 4 blocks in 1 steps" in result.text(node)
