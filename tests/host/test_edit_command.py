"""`icedit edit` and the page docs/api.md, as a user runs them: processes of their own against the real server."""

import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devtools.server import free_port

from . import api_page, graphs

SCENE = graphs.ROOT / "demo" / "example.png"
WORDS = api_page.INSTRUCTION
INTERRUPTED = 130
posix_only = pytest.mark.skipif(os.name == "nt", reason="shell blocks and signals are POSIX's")
pytestmark = posix_only


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return api_page.installed(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def icedit(server, environment, tmp_path):
    """Runs `icedit edit` in an empty folder; the demo workflow in few steps unless told otherwise."""

    def run(*arguments, image=SCENE, words=WORDS, out="out.png", workflow="icedit_demo", steps=2, url=server.url):
        command = ["icedit", "edit", str(image), words, "-o", out, "--server", url, "--workflow", str(workflow)]
        command += ["--set", f"KSampler.steps={steps}"] if steps else []
        return api_page.run([*command, *arguments], tmp_path, environment)

    return run


def pixels(data: bytes | Path) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data) if isinstance(data, bytes) else data))


def api_file(folder: Path, graph: dict) -> Path:
    file = folder / "mine.json"
    file.write_text(json.dumps(graph), encoding="utf-8")
    return file


class TestPage:
    """Every block of docs/api.md, run as it stands."""

    WAYS = ("icedit", "curl", "comfy", "python")

    @pytest.fixture
    def pictures(self, server, client, environment, tmp_path):
        """Runs one way on an emptied cache; gives the pixels of its picture."""
        page = api_page.blocks()
        (python,), (icedit,), (comfy,) = page["Python"], page["The command"], page["comfy run"]
        prepare, curl = page["curl"]
        scripts = {"icedit": icedit, "curl": prepare + curl, "comfy": prepare + comfy}
        wishes = {"SERVER": server.url, "WORKFLOW": "icedit_demo", "IMAGE": str(SCENE), "INSTRUCTION": WORDS}

        async def run(way):
            command = (
                ["bash", "-euo", "pipefail", "-c", scripts[way]] if way in scripts else [sys.executable, "-c", python]
            )
            await client.free()
            folder = tmp_path / way
            done = await asyncio.to_thread(api_page.run, command, folder, environment | wishes)
            assert done.returncode == 0, done.stdout + done.stderr
            (picture,) = folder.rglob("*.png")
            return pixels(picture)

        return run

    @pytest.mark.parametrize("way", [way for way in WAYS if way != "icedit"])
    async def test_it_gives_the_commands_pixels(self, pictures, environment, way):
        needed = {"curl": ("curl", "jq"), "comfy": ("curl", "jq", "comfy")}.get(way, ())
        missing = [tool for tool in needed if not shutil.which(tool, path=environment["PATH"])]
        if missing:
            pytest.skip(f"{', '.join(missing)} not on this machine")
        expected = await pictures("icedit")
        source = pixels(SCENE)
        assert expected.shape == source.shape and 0.3 < (expected == source).all(-1).mean() < 0.995
        assert np.array_equal(await pictures(way), expected)

    def test_the_settings_block_names_what_the_others_read(self):
        page = api_page.blocks()
        (settings,) = page.pop("# Editing without the canvas")
        code = "\n".join(block for group in page.values() for block in group)
        given = set(re.findall(r"^export (\w+)=", settings, re.M))
        assert given == set(re.findall(r"\$(SERVER|WORKFLOW|IMAGE|INSTRUCTION)\b", code))
        assert f'"{WORDS}"' in settings and SCENE.relative_to(graphs.ROOT).as_posix() in settings
        assert len(page["Python"][0].splitlines()) <= 30


class TestEdit:
    async def test_wishes_reach_the_workflow(self, icedit, client, tmp_path):
        done = icedit("--seed", "5", "--set", "What to change.guidance=30", "--set", "ICEdit Restore.keep_unedited=off")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "out.png\n"
        assert "KSampler: 2 steps" in done.stderr and f"exactly the same as on the left but {WORDS}" in done.stderr
        graph = graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=2, seed=5)
        graph = graphs.changed(graph, "ICEditPrompt", guidance=30, instruction=WORDS)
        graph = graphs.changed(graph, "ICEditRestore", keep_unedited="off")
        image = (await client.upload_image(SCENE)).widget
        graph[graphs.find(graph, "ICEditDemoScene")] = {"class_type": "LoadImage", "inputs": {"image": image}}
        await client.free()
        expected = await graphs.picture(client, await client.run(graph, timeout=120))
        assert np.array_equal(pixels(tmp_path / "out.png"), expected)

    def test_several_pictures_are_numbered_and_none_is_lost(self, icedit, tmp_path):
        graph = graphs.shipped("icedit_demo")
        both = {
            "image1": [graphs.find(graph, "ICEditRestore"), 0],
            "image2": [graphs.find(graph, "ICEditDemoScene"), 0],
        }
        graph["both"] = {"class_type": "ImageBatch", "inputs": both}
        graph[graphs.find(graph, "SaveImage")]["inputs"]["images"] = ["both", 0]
        graph["show"] = {"class_type": "PreviewImage", "inputs": {"images": ["both", 0]}}
        file = api_file(tmp_path, graph)
        (tmp_path / "out_1.png").write_bytes(b"mine")
        done = icedit(workflow=file)
        assert done.stdout == "out_2.png\nout_3.png\n", done.stderr
        assert "2 preview(s) were left on the server" in done.stderr
        assert (tmp_path / "out_1.png").read_bytes() == b"mine"
        assert np.array_equal(pixels(tmp_path / "out_3.png"), pixels(SCENE))

    def test_a_folder_takes_the_servers_names_and_nothing_is_replaced_unasked(self, icedit, tmp_path):
        first = icedit(out="results")
        assert re.fullmatch(r"results/demo_\d+_\.png\n", first.stdout), first.stderr
        again = icedit(out="results")  # from the server's cache: the same file there
        assert again.stdout == first.stdout.replace(".png", "_2.png")
        kept = (tmp_path / first.stdout.strip()).stat().st_mtime_ns
        assert icedit(out=first.stdout.strip()).returncode == 2
        assert (tmp_path / first.stdout.strip()).stat().st_mtime_ns == kept
        replaced = icedit("--overwrite", out=first.stdout.strip())
        assert replaced.stdout == first.stdout.replace(".png", ".png (replaced)")

    @pytest.fixture
    def terminal(self):
        """SIGINT as a terminal hands it down: to what runs in the background, a shell hands it down ignored."""
        before = signal.getsignal(signal.SIGINT)
        if before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        yield
        signal.signal(signal.SIGINT, before)

    async def test_ctrl_c_takes_the_edit_off_the_server(self, client, server, environment, terminal, tmp_path):
        for way in (signal.SIGINT, signal.SIGTERM):
            command = ["icedit", "edit", str(SCENE), WORDS, "-o", "out.png", "--server", server.url]
            command += ["--workflow", "icedit_demo", "--set", "KSampler.steps=5000", "--seed", str(int(way))]
            process = await asyncio.create_subprocess_exec(
                *command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
            )
            try:
                while b"KSampler" not in await asyncio.wait_for(process.stderr.readline(), 120):
                    pass
                process.send_signal(way)
                _, words = await asyncio.wait_for(process.communicate(), 60)
            finally:
                if process.returncode is None:
                    process.kill()
            assert process.returncode == INTERRUPTED
            assert b"icedit edit: interrupted; the server was told to drop the edit." in words
            assert b"Traceback" not in words
            for _ in range(100):
                queue = await client.get_json("/queue")
                if not queue["queue_running"] and not queue["queue_pending"]:
                    break
                await asyncio.sleep(0.2)
            else:
                pytest.fail("the edit still runs on the server")
        assert not (tmp_path / "out.png").exists()


class TestErrors:
    """Exit code and words; nothing is written."""

    @pytest.fixture(autouse=True)
    def nothing_written(self, tmp_path):
        yield
        assert not list(tmp_path.rglob("*.png"))

    def test_no_server(self, icedit):
        url = f"http://127.0.0.1:{free_port()}"
        done = icedit(url=url)
        assert done.returncode == 1 and f"Is ComfyUI running at {url}?" in done.stderr

    def test_a_model_file_that_is_not_there(self, icedit):
        done = icedit("--set", "VAELoader.vae_name=none.safetensors", workflow="icedit_training_free")
        assert done.returncode == 1
        place = r"node \d+ \(VAELoader.*\), input 'vae_name': the server has no 'none\.safetensors' in models/vae"
        assert re.search(place + "; it offers .*pixel_space", done.stderr), done.stderr
        assert done.stderr.count("none.safetensors") == 1

    def test_node_types_that_are_not_there(self, icedit, tmp_path):
        graph = graphs.shipped("icedit_demo")
        graph[graphs.find(graph, "ICEditRestore")]["class_type"] = "ICEditLater"
        graph["extra"] = {"class_type": "ForeignNode", "inputs": {}}
        done = icedit(workflow=api_file(tmp_path, graph))
        assert done.returncode == 2
        assert "ICEditLater of the ICEdit pack" in done.stderr and "ForeignNode of another pack" in done.stderr

    @pytest.mark.parametrize(
        ("setting", "words"),
        [
            ("Nothing.steps=3", r"no node has such .* (\d+) \(KSampler\)"),
            ("KSampler.pace=3", r"has no input 'pace'; it has model, seed, steps"),
            ("KSampler.steps=many", r"got 'many', but this input takes a whole number \(INT\)"),
            ("KSampler.model=3", "this input is a MODEL from another node"),
            ("KSampler.steps", r"the form is NODE\.INPUT=VALUE"),
        ],
    )
    def test_settings_that_cannot_be(self, icedit, setting, words):
        done = icedit("--set", setting)
        assert done.returncode == 2 and re.search(words, done.stderr), done.stderr

    def test_a_value_out_of_range_is_refused_by_the_server(self, icedit):
        done = icedit("--set", "KSampler.steps=0", steps=None)
        assert done.returncode == 1 and "input 'steps': Value 0 smaller than min" in done.stderr

    def test_the_canvas_form_has_a_remedy(self, icedit):
        done = icedit(workflow=graphs.ROOT / "workflows" / "icedit_demo.json")
        assert done.returncode == 2 and "File > Export (API)" in done.stderr

    def test_an_unknown_workflow_lists_those_of_the_server(self, icedit):
        done = icedit(workflow="icedit_nothing")
        assert done.returncode == 2 and "icedit_demo, " in done.stderr and "icedit_flux_fill" in done.stderr

    def test_a_picture_that_is_none(self, icedit, tmp_path):
        (tmp_path / "broken.jpg").write_bytes(b"no picture")
        done = icedit(image="broken.jpg")
        assert done.returncode == 1 and "LoadImage" in done.stderr
