"""ICEdit on a text-to-image model on the real server: the shipped graphs run, Cancel, and a second run as the first."""

import asyncio

import numpy as np
import pytest
from safetensors.torch import save_file

from devtools.workflows.x2edit import DEV
from icedit_core.client import ExecutionInterrupted

from . import graphs
from .test_filter_workflows import with_small_encoders
from .test_workflows import small_picture
from .test_wrong_models import flux_dev

NODE = "ICEditDiptychFromNoise"


async def test_the_demo_runs_is_cancelled_and_runs_again(client):
    graph = graphs.changed(graphs.shipped("icedit_text_to_image_demo"), NODE, steps=2)
    await client.free()
    result = await client.run(graph, timeout=600)
    edited = await graphs.picture(client, result)
    assert edited.shape == (256, 256, 3)
    text = result.text(graphs.find(graph, NODE))
    assert "Diptych from noise on FLUX.1 Fill: 2 steps, 6 model calls" in text and "locked to the source" in text

    stopping = []

    def stop_when_it_samples(step):
        if step.node_type == NODE and step.value and not stopping:
            stopping.append(asyncio.ensure_future(client.interrupt()))

    long = graphs.changed(graph, NODE, steps=1000)
    with pytest.raises(ExecutionInterrupted, match=NODE):
        await client.run(long, stop_when_it_samples, timeout=600)
    await client.free()
    assert np.array_equal(await graphs.picture(client, await client.run(graph, timeout=600)), edited)


async def test_flux_dev_small(client, server, tmp_path):
    """The shipped graph on small files, at a size for a CPU."""
    save_file(flux_dev(), tmp_path / "dev")
    picture = await client.upload_image(small_picture(), "example.png", overwrite=True)
    graph = graphs.changed(graphs.shipped("icedit_text_to_image"), "LoadImage", image=picture.widget)
    graph = graphs.changed(with_small_encoders(graph), NODE, steps=2)
    graph = graphs.changed(graph, "ICEditDiptych", width=64)
    with graphs.small_files(server, {f"diffusion_models/{DEV['name']}": tmp_path / "dev"}):
        result = await client.run(graph, timeout=600)
    text = result.text(graphs.find(graph, NODE))
    assert "Diptych from noise on FLUX.1 dev or Kontext: 2 steps" in text and "Experimental" not in text
    assert (await graphs.picture(client, result)).shape == (33, 260, 3)
