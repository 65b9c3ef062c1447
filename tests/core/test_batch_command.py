"""`icedit batch` from end to end, against servers whose answers a test chooses."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from icedit_core.batch import places, pool, records, run, sheet
from icedit_core.batch.rows import Row
from icedit_core.cli import main
from icedit_core.client import ComfyClient

from .comfy_stand_in import GRAPH, StandIn, as_json, picture

ROOT = Path(__file__).resolve().parents[2]
SAMPLED = {
    **GRAPH,
    "4": {
        "class_type": "KSampler",
        "inputs": {"seed": 9, "steps": 12, "cfg": 1.0, "sampler_name": "euler", "denoise": 1.0},
    },
    "5": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
}
KINDS = {"KSampler": {"input": {"required": {"steps": ["INT", {}], "seed": ["INT", {}]}}}, "VAELoader": {"input": {}}}


class Worker(StandIn):
    """A server that remembers the prompts, and whose pictures can differ."""

    def __init__(self) -> None:
        super().__init__()
        self.graph, self.schemas = SAMPLED, self.schemas | KINDS
        self.prompts: list[dict] = []
        self.dies_at = 10**9
        self.handlers = {"prompt": self._noted, "system_stats": self._stats, "upload": self._named}

    async def _noted(self, request: web.Request) -> web.StreamResponse:
        self.prompts.append((await request.json())["prompt"])
        if len(self.prompts) >= self.dies_at:
            await self.let_go()
            return web.Response(status=502, text="the worker behind it is gone")
        return await self._prompt(request)

    async def let_go(self) -> None:
        """End the websocket that waits for a prompt which never comes."""
        await self._queued.put("")

    async def _stats(self, _: web.Request) -> web.Response:
        dead = len(self.prompts) >= self.dies_at
        return web.Response(status=502) if dead else web.json_response({"system": {}})

    async def _named(self, request: web.Request) -> web.Response:
        form = await request.post()
        return web.json_response({"name": form["image"].filename, "type": "input", "subfolder": form["subfolder"]})


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "FIRST_LOOK", 0.05)


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield [stack.enter_context(Worker().serving()) for _ in range(2)]


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number:02}.png").write_bytes(picture())
        (folder / f"{number:02}.txt").write_text(f"make it blue {number}", encoding="utf-8")
    return folder


def batch(rows: Path, out: Path, servers: list[Worker], *arguments: str) -> int:
    urls = [part for server in servers for part in ("--server", server.url)]
    return main.main(["batch", str(rows), "-o", str(out), "--timeout", "5", "--patience", "1", *urls, *arguments])


def found(out: Path) -> dict[str, dict]:
    every = list(records.read(out / records.NAME)[1])
    assert len(every) == len({record["row"] for record in every}), "a row twice"
    return {record["row"]: record for record in every}


def test_a_folder_is_edited_and_every_row_recorded(tmp_path: Path, servers: list[Worker], capsys):
    rows, out = pictures(tmp_path / "in", 6), tmp_path / "out"
    servers[0].notes = servers[1].notes = ["a note"]
    assert batch(rows, out, servers, "--set", "KSampler.steps=7") == 0
    kept = found(out)
    assert sorted(kept) == [f"{i:02}.png" for i in range(6)]
    record = kept["03.png"]
    assert record["instruction"] == "make it blue 3" and record["error"] is None
    assert (record["seed"], record["nfe"], record["files"]) == (9, 7, ["pictures/03_png.png"])
    assert record["seconds"] > 0 and record["notes"] == ["ICEditPrompt: a note"] and len(record["graph"]) == 64
    assert (out / record["files"][0]).read_bytes() == picture()
    head, _ = records.read(out / records.NAME)
    assert head["models"] == {"vae/ae.safetensors": None} and len(head["workflow"]) == 64
    assert {len(server.prompts) for server in servers} != {0, 6}
    with Image.open(out / sheet.NAME) as shown:
        assert shown.width > 1000
    sent = [prompt for server in servers for prompt in server.prompts]
    assert {prompt["4"]["inputs"]["steps"] for prompt in sent} == {7}
    assert {prompt["1"]["inputs"]["image"] for prompt in sent} == {f"icedit_batch/{i:02}_png.png" for i in range(6)}
    said = capsys.readouterr()
    assert said.out == f"{out / records.NAME}\n{out / sheet.NAME}\n" and "6 of 6 rows" in said.err


def test_a_dead_servers_rows_go_to_the_other(tmp_path: Path, servers: list[Worker], capsys):
    servers[0].dies_at = 3
    rows, out = pictures(tmp_path / "in", 12), tmp_path / "out"
    assert batch(rows, out, servers) == 0
    kept = found(out)
    assert len(kept) == 12 and not any(record["error"] for record in kept.values())
    assert {record["server"] for record in kept.values()} == {server.url for server in servers}
    assert f"{servers[0].url} is lost" in capsys.readouterr().err


def test_a_stopped_run_goes_on_and_does_nothing_twice(tmp_path: Path, servers: list[Worker], capsys):
    first, second = servers
    first.dies_at = 4
    rows, out = pictures(tmp_path / "in", 8), tmp_path / "out"
    assert batch(rows, out, [first]) == 1
    assert "no server has answered for 1 s, and rows are left" in capsys.readouterr().err
    before = (out / records.NAME).read_bytes()
    assert len(found(out)) == 3
    assert batch(rows, out, [second]) == 0
    assert (out / records.NAME).read_bytes().startswith(before) and len(found(out)) == 8
    assert len(second.prompts) == 5
    assert batch(rows, out, [second]) == 0 and len(second.prompts) == 5
    (rows / "01.txt").write_text("something else", encoding="utf-8")
    assert batch(rows, out, [second]) == 2
    assert batch(rows, out, [second], "--set", "KSampler.steps=3") == 2
    assert "its workflow differs" in capsys.readouterr().err


def test_what_fails_is_listed_and_can_be_done_again(tmp_path: Path, servers: list[Worker], capsys):
    rows, out = pictures(tmp_path / "in", 3), tmp_path / "out"
    (rows / "01.txt").write_text("", encoding="utf-8")
    servers[0].files["demo_00001_.png"] = b"no picture"
    assert batch(rows, out, servers[:1]) == 1
    kept = found(out)
    assert "words are needed" in kept["01.png"]["error"] and kept["01.png"]["broken"]
    assert "was not saved: it is no picture" in kept["00.png"]["error"] and kept["00.png"]["files"] == []
    assert "3 of 3 rows failed" in capsys.readouterr().err and (out / sheet.NAME).exists()
    assert list((out / "pictures").iterdir()) == []
    (rows / "01.txt").write_text("blue", encoding="utf-8")
    servers[0].files.clear()
    assert batch(rows, out, servers[:1]) == 1
    assert found(out)["00.png"]["error"], "without --redo-errors the records stay"
    assert batch(rows, out, servers[:1], "--redo-errors") == 0
    assert not any(record["error"] for record in found(out).values())


def test_a_servers_words_cannot_act(tmp_path: Path, servers: list[Worker], capsys):
    bad = {"error": {"message": "\x1b[2Jgone\nicedit batch: all is well"}, "node_errors": {"3": {"class_type": "\x07"}}}
    rows, out = pictures(tmp_path / "in", 1), tmp_path / "out"

    async def refuse(_: web.Request) -> web.Response:
        await servers[0].let_go()
        return web.json_response(bad, status=400)

    servers[0].handlers["prompt"] = refuse
    assert batch(rows, out, servers[:1]) == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said and "\nicedit batch: all is well" not in said
    assert "\x1b" not in found(out)["00.png"]["error"]


async def test_a_server_that_is_slow_after_the_run_is_given_up(tmp_path: Path, servers: list[Worker], monkeypatch):
    """Each answer comes in time, so that only their number makes an edit endless."""

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return await servers[0]._view(request)

    servers[0].handlers["view"] = slow
    servers[0].names = [f"a{number}.png" for number in range(40)]
    monkeypatch.setattr(places, "IN_ALL", 2)
    (tmp_path / "a.png").write_bytes(picture())
    work = places.Work(SAMPLED, servers[0].schemas, frozenset(), 0.6, tmp_path)
    async with ComfyClient(servers[0].url, timeout=0.6) as client:
        with pytest.raises(places.PlaceLost, match=r"one edit took more than 2\.4 s"):
            await places.Server(client, work).edit(Row("a.png", "a", tmp_path / "a.png", "words", None, ()))


def test_a_server_that_is_slow_before_the_run_is_given_up(tmp_path: Path, servers: list[Worker], capsys, monkeypatch):
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return await servers[0]._object_info(request)

    kinds = {f"n{number}": {"class_type": f"Kind{number}", "inputs": {}} for number in range(40)}
    servers[0].handlers["object_info"] = slow
    servers[0].graph = SAMPLED | kinds
    servers[0].schemas = servers[0].schemas | {node["class_type"]: {} for node in kinds.values()}
    monkeypatch.setattr(run, "IN_ALL", 2)
    (tmp_path / "a.png").write_bytes(picture())
    arguments = ["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--instruction", "words", "--timeout", "0.6"]
    assert main.main([*arguments, "--server", servers[0].url]) == 1
    assert "described the workflow for more than 2.4 s" in capsys.readouterr().err


def test_no_redirect_is_followed(tmp_path: Path, servers: list[Worker]):
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": servers[1].url + "/upload/image"})

    servers[0].handlers["upload"] = elsewhere
    assert batch(pictures(tmp_path / "in", 2), tmp_path / "out", servers[:1]) == 1
    assert servers[1].prompts == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--timeout", "0"], "--timeout got 0"),
        (["--patience", "nan"], "--patience got nan"),
        (["--seed", "-1"], "--seed got -1"),
        (["--models", "none"], "no such folder"),
        (["--set", "KSampler"], r"the form is NODE.INPUT=VALUE"),
        (["--set", "None.steps=1"], "no node has such an id"),
    ],
)
def test_wrong_arguments(tmp_path: Path, servers: list[Worker], capsys, arguments: list[str], words: str):
    assert batch(pictures(tmp_path / "in", 1), tmp_path / "out", servers[:1], *arguments) == 2
    assert words in capsys.readouterr().err and servers[0].prompts == []


def test_a_server_twice_or_none_that_answers(tmp_path: Path, servers: list[Worker], capsys):
    rows = pictures(tmp_path / "in", 1)
    assert batch(rows, tmp_path / "out", [servers[0], servers[0]]) == 2
    assert main.main(["batch", str(rows), "-o", str(tmp_path / "out"), "--server", "127.0.0.1:9"]) == 1
    assert "Is ComfyUI running at http://127.0.0.1:9?" in capsys.readouterr().err


def test_a_workflow_without_a_place_for_words_is_said_once(tmp_path: Path, servers: list[Worker], capsys):
    graph = {key: node for key, node in SAMPLED.items() if key != "2"}
    servers[0].handlers["api"] = as_json(graph)
    assert batch(pictures(tmp_path / "in", 3), tmp_path / "out", servers[:1]) == 2
    assert capsys.readouterr().err.count("no node with an instruction") == 1


def test_hashes_of_models_on_this_machine_and_of_the_servers_metadata(tmp_path: Path, servers: list[Worker]):
    rows, models = pictures(tmp_path / "in", 1), tmp_path / "models"
    digest = "ab" * 32
    servers[0].handlers["view_metadata"] = as_json({"modelspec.hash_sha256": f"0x{digest}"})
    assert batch(rows, tmp_path / "told", servers[:1]) == 0
    (models / "vae").mkdir(parents=True)
    (models / "vae" / "ae.safetensors").write_bytes(b"weights")
    assert batch(rows, tmp_path / "computed", servers[:1], "--models", str(models)) == 0
    told, computed = (records.read(tmp_path / name / records.NAME)[0]["models"] for name in ("told", "computed"))
    assert told == {"vae/ae.safetensors": f"modelspec:{digest}"}
    assert computed == {"vae/ae.safetensors": hashlib.sha256(b"weights").hexdigest()}


def test_it_starts_light():
    """`icedit eval` too: it edits before it measures."""
    code = "import sys; from icedit_core.cli import batching, evaluating; print(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"import json\n{code}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert loaded & {"torch", "numpy", "scipy", "transformers", "matplotlib", "pyarrow"} == set()
