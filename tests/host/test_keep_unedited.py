"""ICEdit Keep Unedited on a real server: behind the host's own nodes, with the host's VAE."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from icedit_core.client import ComfyError, ImageRef, PromptRejected

from . import graphs

SIZE = (320, 256)  # (width, height)


def picture(seed):
    """Grey waves and 30 boxes, uint8 (256, 320, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    made = np.repeat((128 + 30 * np.sin(x / 17 + y / 23))[..., None], 3, axis=2)
    for _ in range(30):
        left, top, side = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1]), rng.integers(8, 40)
        made[top : top + side, left : left + side] = rng.integers(0, 255, 3)
    return made.astype(np.uint8)


def graph_of(source, edit, **inputs):
    load = {name: {"class_type": "LoadImage", "inputs": {"image": file}} for name, file in (("s", source), ("e", edit))}
    given = {"source": ["s", 0], "edit": ["e", 0], "threshold": 1.0, "grow": 0, "feather": 0, "colour": 1.0}
    keep = {"class_type": "ICEditKeepUnedited", "inputs": given | inputs}
    return load | {
        "keep": keep,
        "mask": {"class_type": "MaskToImage", "inputs": {"mask": ["keep", 1]}},
        "image": {"class_type": "SaveImage", "inputs": {"images": ["keep", 0], "filename_prefix": "kept"}},
        "change": {"class_type": "SaveImage", "inputs": {"images": ["mask", 0], "filename_prefix": "change"}},
    }


async def uploaded(client, tmp_path, name, pixels):
    Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return (await client.upload_image(tmp_path / f"{name}.png")).widget


async def fetched(client, entry):
    return np.asarray(Image.open(io.BytesIO(await client.download(ImageRef.parse(entry)))).convert("RGB"))


@pytest.mark.parametrize("with_vae", [False, True])
async def test_an_editor_that_returns_another_size_and_tint(server, client, tmp_path, with_vae):
    source = picture(1)
    target = source.copy()
    target[90:150, 120:200] = (250, 20, 30)
    edit = Image.fromarray(np.clip(target * 0.96 + 4, 0, 255).astype(np.uint8)).resize((400, 320), Image.BICUBIC)
    names = [await uploaded(client, tmp_path, n, a) for n, a in (("source", source), ("edit", np.asarray(edit)))]
    graph = graph_of(*names)
    if with_vae:
        graph["vae"] = {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}}
        graph["keep"]["inputs"]["vae"] = ["vae", 0]
    with graphs.small_files(server):
        result = await client.run(graph, timeout=120)
    kept, change = [await fetched(client, result.outputs[n]["images"][0]) for n in ("image", "change")]
    outside = change[..., 0] == 0
    assert kept.shape == source.shape and np.array_equal(kept[outside], source[outside])
    differs = np.abs(target.astype(int) - source).max(-1)
    assert not outside[differs > 30].any() and outside[differs == 0].mean() > 0.97
    assert "no shift" in result.text("keep").lower() and "% changed" in result.text("keep")
    (shown,) = [entry for entry in result.outputs["keep"]["icedit_compare"]]
    assert set(shown) == {"before", "after", "change"}


async def test_counts_that_do_not_belong_together_are_refused_in_words(client, tmp_path):
    source = await uploaded(client, tmp_path, "source", picture(2))
    graph = graph_of(source, source)
    graph["two"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["s", 0], "amount": 2}}
    graph["three"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["s", 0], "amount": 3}}
    graph["keep"]["inputs"] |= {"source": ["two", 0], "edit": ["three", 0]}
    with pytest.raises((ComfyError, PromptRejected), match="3 edits for 2 sources"):
        await client.run(graph, timeout=60)


async def test_cancel_is_heard_between_its_steps(client, tmp_path):
    names = [await uploaded(client, tmp_path, f"c{i}", picture(i)) for i in (3, 4)]
    graph = graph_of(*names)
    graph["many"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["e", 0], "amount": 64}}
    graph["keep"]["inputs"]["edit"] = ["many", 0]
    run = asyncio.create_task(client.run(graph, timeout=120))
    await asyncio.sleep(1.5)
    await client.interrupt()
    with pytest.raises(ComfyError, match="(?i)interrupt"):
        await run
