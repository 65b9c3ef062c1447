"""The client and the server's context manager against the real ComfyUI."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from devtools.server import HostError, free_port, running_host
from icedit_core.client import (
    ComfyClient,
    ExecutionFailed,
    ExecutionInterrupted,
    ImageRef,
    PromptRejected,
    RequestFailed,
    RunTimeout,
    ServerUnreachable,
)


def png(width: int = 48, height: int = 32, colour: tuple[int, int, int] = (255, 255, 0)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def invert_graph(image: str) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
    }


def slow_graph(seed: int) -> dict:
    """A graph that takes far longer than any test waits: median of a large image, many times over."""
    graph: dict = {"0": {"class_type": "EmptyImage", "inputs": image_inputs(seed)}}
    for i in range(1, 200):
        inputs = {"image": [str(i - 1), 0], "blur_radius": 31, "sigma": 10.0}
        graph[str(i)] = {"class_type": "ImageBlur", "inputs": inputs}
    graph["save"] = {"class_type": "PreviewImage", "inputs": {"images": ["199", 0]}}
    return graph


@pytest.fixture
def sampling_graph() -> dict:
    """Three steps of the demo model on an empty latent."""
    size = {"width": 64, "height": 64, "batch_size": 1}
    sampling = {"seed": 5, "steps": 3, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0]}
    return {
        "1": {"class_type": "ICEditDemoModel", "inputs": {}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "red"}},
        "3": {"class_type": "EmptySD3LatentImage", "inputs": size},
        "4": {"class_type": "KSampler", "inputs": sampling | links},
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
    }


def image_inputs(seed: int) -> dict:
    return {"width": 1024, "height": 1024, "batch_size": 1, "color": seed}


async def test_upload_run_download(client: ComfyClient):
    image = await client.upload_image(png(), "yellow.png")
    steps = []
    result = await client.run(invert_graph(image.widget), steps.append, timeout=60)
    assert [step.node_type for step in steps] == ["LoadImage", "ImageInvert", "SaveImage"]
    assert not result.cached
    (ref,) = result.images("3")
    assert ref.type == "output" and ref.filename.startswith("inverted")
    picture = Image.open(io.BytesIO(await client.download(ref)))
    assert picture.size == (48, 32) and picture.getpixel((5, 5)) == (0, 0, 255)


async def test_second_run_reports_what_was_cached(client: ComfyClient):
    image = await client.upload_image(png(colour=(1, 2, 3)), "cached.png")
    graph = invert_graph(image.widget)
    first = await client.run(graph, timeout=60)
    second = await client.run(graph, timeout=60)
    assert not first.cached and second.cached == {"1", "2", "3"}
    assert second.images() == first.images()


async def test_a_forgotten_prompt_is_gone_and_its_file_stays(client: ComfyClient):
    image = await client.upload_image(png(colour=(3, 2, 1)), "forgotten.png")
    result = await client.run(invert_graph(image.widget), timeout=60)
    assert await client.history(result.prompt_id)
    await client.forget(result.prompt_id)
    assert await client.history(result.prompt_id) == {}
    assert await client.download(result.images("3")[0])


async def test_upload_finds_a_free_name_and_reads_files(client: ComfyClient, tmp_path: Path):
    file = tmp_path / "photo.png"
    file.write_bytes(png(8, 8))
    first = await client.upload_image(file, subfolder="sub")
    again = await client.upload_image(file, subfolder="sub")
    other = await client.upload_image(png(9, 9), "photo.png", subfolder="sub")
    assert first == again == ImageRef("photo.png", "sub", "input") and first.widget == "sub/photo.png"
    assert other.filename != first.filename
    assert await client.download(first) == file.read_bytes()


@pytest.mark.parametrize("name", ["a b (1).png", "\u732b \u00e9 100%20 #1;'x'.png", "\U0001f600&+=.png"])
async def test_a_file_keeps_its_name_on_the_server(client: ComfyClient, name: str):
    image = await client.upload_image(png(), name, subfolder="\u00fc ber")
    assert image == ImageRef(name, "\u00fc ber", "input")
    assert await client.download(image) == png()
    result = await client.run(invert_graph(image.widget), timeout=60)
    assert len(result.images("3")) == 1


async def test_steps_of_a_node_are_reported(client: ComfyClient, sampling_graph: dict):
    steps = []
    await client.run(sampling_graph, steps.append, timeout=120)
    sampler = [(step.value, step.max) for step in steps if step.node_type == "KSampler" and step.max]
    # The server may leave out steps that follow each other too quickly, but neither their order nor the last one.
    assert sampler == sorted(set(sampler)) and sampler[-1] == (3, 3) and set(sampler) <= {(1, 3), (2, 3), (3, 3)}


async def test_rejection_names_node_input_and_complaint(client: ComfyClient):
    graph = invert_graph("no such file.png")
    graph["4"] = {"class_type": "EmptyImage", "inputs": image_inputs(0) | {"width": -5}}
    graph["5"] = {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}}
    with pytest.raises(PromptRejected) as caught:
        await client.queue(graph)
    text = str(caught.value)
    assert "Prompt outputs failed validation" in text
    assert "node 1 (LoadImage), input 'image'" in text and "no such file.png" in text
    assert "node 4 (EmptyImage), input 'width'" in text and "smaller than min" in text
    assert set(caught.value.node_errors) == {"1", "4"}


async def test_unknown_node_type_is_named(client: ComfyClient):
    with pytest.raises(PromptRejected, match="NoSuchNode"):
        await client.queue({"1": {"class_type": "NoSuchNode", "inputs": {}}})


async def test_a_graph_valid_only_in_part_is_rejected_whole(client: ComfyClient):
    image = await client.upload_image(png(), "part.png")
    graph = invert_graph(image.widget)
    graph["8"] = {"class_type": "LoadImage", "inputs": {"image": "missing.png"}}
    graph["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    with pytest.raises(PromptRejected, match=r"node 8 \(LoadImage\), input 'image'.*missing\.png"):
        await client.run(graph, timeout=60)


async def test_execution_error_carries_node_type_and_message(client: ComfyClient):
    broken = await client.upload_image(b"this is no image", "broken.png")
    with pytest.raises(ExecutionFailed) as caught:
        await client.run(invert_graph(broken.widget), timeout=60)
    failure = caught.value
    assert (failure.node_id, failure.node_type) == ("1", "LoadImage")
    assert failure.exception_message and failure.exception_message in str(failure) and failure.traceback


async def test_interrupt_ends_the_run(client: ComfyClient):
    started = asyncio.Event()
    run = asyncio.create_task(client.run(slow_graph(1), lambda step: started.set(), timeout=120))
    await asyncio.wait_for(started.wait(), 60)
    await client.interrupt()
    with pytest.raises(ExecutionInterrupted, match="ImageBlur|EmptyImage"):
        await asyncio.wait_for(run, 30)


async def test_timeout_takes_the_prompt_off_the_server(client: ComfyClient):
    with pytest.raises(RunTimeout, match=r"in node .* after 3 s"):
        await client.run(slow_graph(2), timeout=3)
    image = await client.upload_image(png(), "after.png")
    assert (await client.run(invert_graph(image.widget), timeout=30)).images()


async def test_an_exception_in_on_progress_ends_the_run(client: ComfyClient):
    def refuse(step):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await client.run(slow_graph(3), refuse, timeout=60)
    image = await client.upload_image(png(), "after2.png")
    assert (await client.run(invert_graph(image.widget), timeout=30)).images()


async def test_object_info_stats_and_missing_files(client: ComfyClient):
    assert "LoadImage" in await client.object_info("LoadImage")
    assert await client.object_info("NoSuchNode") == {}
    assert (await client.system_stats())["system"]["comfyui_version"]
    await client.free()
    with pytest.raises(RequestFailed, match="404"):
        await client.download(ImageRef("nothing.png"))


async def test_no_server_is_said_with_its_address():
    url = f"http://127.0.0.1:{free_port()}"
    async with ComfyClient(url) as client:
        with pytest.raises(ServerUnreachable, match=url):
            await client.run(invert_graph("x.png"))


async def test_a_dying_server_is_an_error_and_leaves_nothing(comfyui: Path):
    with running_host(comfyui, None, cpu=True) as host:
        async with ComfyClient(host.url) as client:
            with pytest.raises(ServerUnreachable, match="lost the server in node"):
                await client.run(slow_graph(4), lambda step: host.process.kill(), timeout=60)
    assert not host.base.exists()


def test_a_server_that_fails_to_start_shows_its_log(comfyui: Path):
    with pytest.raises(HostError, match=r"(?s)ended with exit code .*no-such-flag"):
        with running_host(comfyui, None, cpu=True, extra_args=["--no-such-flag"]):
            pass
