"""What nodes show: on a real server, with a browser or without one."""

import io

import numpy as np
import pytest
from PIL import Image

from icedit_core.client import ImageRef, PromptRejected

from . import graphs


async def fetched(client, entry):
    data = await client.download(ImageRef.parse(entry))
    return np.asarray(Image.open(io.BytesIO(data)))


def short(**scene):
    """The demo workflow in two steps."""
    graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=2)
    return graphs.changed(graph, "ICEditDemoScene", **scene)


async def test_the_diptych_is_shown_with_the_panel_that_is_repainted(client):
    graph = short(seed=11)
    result = await client.run(graph, timeout=120)
    node = graphs.find(graph, "ICEditDiptych")
    (entry,) = result.outputs[node]["icedit_pictures"]
    assert entry["picture"]["type"] == "temp" and "panel" in result.text(node)
    picture = (await fetched(client, entry["picture"])).astype(int)
    height, width = picture.shape[:2]
    assert width == 2 * height and max(picture.shape) >= 512
    apart = np.abs(picture[:, : width // 2] - picture[:, width // 2 :]).max(-1)
    assert (apart > 8).mean() > 0.9, "both panels show the source, but one is shaded"


async def test_restore_shows_source_result_and_the_outline_of_the_change(client):
    graph = short(seed=12)
    result = await client.run(graph, timeout=120)
    shown = result.outputs[graphs.find(graph, "ICEditRestore")]
    (entry,) = shown["icedit_compare"]
    before, after, change = [await fetched(client, entry[name]) for name in ("before", "after", "change")]
    saved = await graphs.picture(client, result)
    assert before.shape == after.shape and before.shape[:2] == change.shape[:2] and change.shape[2] == 4
    factor = after.shape[0] // saved.shape[0]
    assert np.abs(after[::factor, ::factor].astype(int) - saved).max() <= 1
    kept = (change[..., 3] == 0) & (before == after).all(-1)
    assert 0 < (change[..., 3] == 255).mean() < 1 and kept.any()


async def test_a_batch_is_shown_up_to_a_bound(client):
    graph = short(seed=13)
    sampled = graphs.find(graph, "VAEDecode")
    scene = graphs.find(graph, "ICEditDemoScene")
    graph["many"] = {"class_type": "RepeatImageBatch", "inputs": {"image": [scene, 0], "amount": 10}}
    graph = graphs.changed(graph, "ICEditDiptych", image=["many", 0])
    graph = graphs.changed(graph, "ICEditRestore", images=[graphs.find(graph, "ICEditDiptych"), 0])
    del graph[sampled]
    result = await client.run(graph, timeout=120)
    assert len(result.outputs[graphs.find(graph, "ICEditDiptych")]["icedit_pictures"]) == 8
    entries = result.outputs[graphs.find(graph, "ICEditRestore")]["icedit_compare"]
    names = [entry[name]["filename"] for entry in entries for name in ("before", "after", "change")]
    assert len(entries) == 8 and len(set(names)) == 24
    assert len(result.images()) == 10


async def test_a_cached_run_shows_the_same(client):
    graph = short(seed=14)
    first = await client.run(graph, timeout=120)
    again = await client.run(graph, timeout=120)
    for kind in ("ICEditDiptych", "ICEditRestore"):
        node = graphs.find(graph, kind)
        assert node in again.cached and again.outputs[node] == first.outputs[node]


async def test_a_client_that_collects_files_gets_the_saved_picture_alone(client):
    """Any list of entries with a file name counts as a file, for ComfyUI's own command line for one."""
    graph = short(seed=15)
    result = await client.run(graph, timeout=120)
    lists = [items for shown in result.outputs.values() for items in shown.values() if isinstance(items, list)]
    files = [item for items in lists for item in items if isinstance(item, dict) and "filename" in item]
    assert [file["type"] for file in files] == ["output"]


async def test_a_workflow_that_lacks_a_model_is_still_refused_as_a_whole(client):
    """A node that shows something must not be an output of its own, for which the host would run the rest."""
    graph = short(seed=16)
    graph[graphs.find(graph, "KSampler")]["inputs"]["sampler_name"] = "none such"
    with pytest.raises(PromptRejected):
        await client.run(graph, timeout=60)
