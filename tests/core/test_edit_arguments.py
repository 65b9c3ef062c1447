"""`icedit edit` without a server: its arguments, --set, workflow files, names of pictures, refusals in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from icedit_core.cli import address, main, settings, workflow
from icedit_core.client import ComfyClient, PromptRejected

API = Path(__file__).resolve().parents[2] / "workflows" / "api"
SAMPLER = {
    "input": {
        "required": {
            "model": ["MODEL", {}],
            "steps": ["INT", {"min": 1}],
            "cfg": ["FLOAT"],
            "scheduler": [["simple", "normal"], {}],
            "batch": ["COMBO", {"options": [1, 2, 4]}],
        },
        "optional": {"tiled": ["BOOLEAN", {}], "v1.note": ["STRING", {}]},
    }
}


def shipped(name: str) -> dict:
    return json.loads((API / f"{name}.json").read_text(encoding="utf-8"))


class TestSet:
    @pytest.fixture
    def graph(self) -> dict:
        return {
            "4": {"class_type": "KSampler", "inputs": {"steps": 9}, "_meta": {"title": "Sample v1.5"}},
            "7": {"class_type": "Note", "inputs": {}, "_meta": {"title": "KSampler B"}},
        }

    @pytest.mark.parametrize(
        ("target", "text", "value"),
        [
            ("4.steps", "20", 20),
            ("KSampler.cfg", "1.5", 1.5),
            ("Sample v1.5.cfg", "2", 2.0),
            ("4.scheduler", "normal", "normal"),
            ("4.scheduler", "one the server refuses", "one the server refuses"),
            ("4.batch", "4", 4),
            ("4.tiled", "True", True),
            ("4.tiled", "no", False),
            ("4.v1.note", "a=b.c", "a=b.c"),
        ],
    )
    def test_values_by_the_declared_type(self, graph, target, text, value):
        parsed = settings.parse(f"{target}={text}")
        place = settings.apply(graph, {"KSampler": SAMPLER}, *parsed)
        assert place == ("4", target.removeprefix("Sample v1.5.").removeprefix("KSampler.").removeprefix("4."))
        got = graph["4"]["inputs"][place[1]]
        assert got == value and type(got) is type(value)

    @pytest.mark.parametrize(
        ("target", "text", "words"),
        [
            ("5.steps", "1", r"no node .* are 4 \(KSampler, 'Sample v1.5'\), 7 \(Note, 'KSampler B'\)"),
            ("4.pace", "1", "no input 'pace'; it has model, steps, cfg, scheduler, batch, tiled, v1.note"),
            ("4.steps", "1.5", "got '1.5', but this input takes a whole number"),
            ("4.cfg", "high", "got 'high', but this input takes a number"),
            ("4.tiled", "perhaps", "takes true or false"),
            ("4.model", "x", "is a MODEL from another node"),
        ],
    )
    def test_what_cannot_be_is_said(self, graph, target, text, words):
        before = json.dumps(graph)
        with pytest.raises(ValueError, match=words):
            settings.apply(graph, {"KSampler": SAMPLER}, target, text)
        assert json.dumps(graph) == before

    def test_an_ambiguous_name_lists_the_nodes(self, graph):
        graph["9"] = graph["4"] | {"_meta": {"title": "another"}}
        with pytest.raises(ValueError, match=r"'KSampler' could be any of 4 .*, 9 .*'another'\)\. Name it by its id"):
            settings.apply(graph, {"KSampler": SAMPLER}, "KSampler.steps", "1")

    @pytest.mark.parametrize("text", ["steps=3", "KSampler.steps", "KSampler.=3", ".steps=3", "=", "a=b.c"])
    def test_another_form_is_refused(self, text):
        with pytest.raises(ValueError, match="NODE.INPUT=VALUE"):
            settings.parse(text)


class TestArguments:
    @pytest.fixture
    def run(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "in.png").write_bytes(b"")
        (tmp_path / "there.png").write_bytes(b"mine")

        def run(*arguments: str) -> str:
            assert main.main(["edit", *arguments]) == 2
            return capsys.readouterr().err

        return run

    def test_a_picture_that_is_not_there(self, run):
        assert "got none.png, but there is no such file" in run("none.png", "words", "-o", "out.png")

    def test_an_empty_instruction(self, run):
        assert "instruction is empty" in run("in.png", "  ", "-o", "out.png")

    def test_a_picture_is_not_replaced_unasked(self, run):
        assert "there.png is there already" in run("in.png", "words", "-o", "there.png")

    def test_a_folder_that_cannot_be(self, run):
        assert "cannot be made a folder" in run("in.png", "words", "-o", "there.png/out.png")

    @pytest.mark.parametrize(
        "url",
        [
            "nowhere",
            "ftp://host",
            "http://",
            "http://me:secret@host:1",
            "http://h?x",
            "http://[",
            "http://h/\x1b",
            "h:x",
        ],
    )
    def test_an_address_that_is_none_is_refused_and_a_password_not_repeated(self, run, url):
        words = run("in.png", "words", "-o", "out.png", "--server", url)
        assert "--server got" in words and "secret" not in words

    @pytest.mark.parametrize(
        ("typed", "read"),
        [
            ("127.0.0.1:8188", "http://127.0.0.1:8188"),
            ("my-pc.local:80/", "http://my-pc.local:80"),
            ("[::1]:8188", "http://[::1]:8188"),
            ("https://host/comfy/", "https://host/comfy"),
        ],
    )
    def test_an_address_is_understood_without_a_scheme(self, typed, read):
        assert address.read(typed) == read

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
    def test_a_time_that_is_none(self, run, seconds):
        assert "--timeout got" in run("in.png", "words", "--timeout", seconds)

    def test_the_server_comes_from_the_environment(self, run, monkeypatch):
        monkeypatch.setenv("ICEDIT_SERVER", "nowhere")
        assert "--server got" in run("in.png", "words", "-o", "out.png")

    def test_a_wrong_setting_or_file_is_said_before_a_server_is_asked(self, run):
        assert "NODE.INPUT=VALUE" in run("in.png", "words", "-o", "out.png", "--set", "steps")
        assert "none.json" in run("in.png", "words", "-o", "out.png", "--workflow", "none.json")


class TestWorkflowFiles:
    def test_shipped_api_forms_are_read_and_canvas_forms_refused(self):
        for file in API.glob("*.json"):
            assert workflow.read(file) == json.loads(file.read_text(encoding="utf-8"))
            with pytest.raises(ValueError, match=r"as the canvas saves it.*Export \(API\)"):
                workflow.read(API.parent / file.name)

    @pytest.mark.parametrize(
        "text", ["", "no JSON", "[]", "{}", '{"1": 2}', '{"1": {"class_type": "A"}}', "[" * 100_000]
    )
    def test_other_files_are_refused(self, text):
        with pytest.raises(ValueError, match="^mine: not"):
            workflow.parse(text, "mine")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    def test_byte_order_marks_and_a_wrapping_prompt(self, tmp_path, encoding):
        graph = shipped("icedit_demo")
        file = tmp_path / "mine.json"
        for value in (graph, {"prompt": graph, "client_id": "me"}):
            file.write_bytes(json.dumps(value).encode(encoding))
            assert workflow.read(file) == graph
        node = {"prompt": {"class_type": "A", "inputs": {}}}  # a node may be called so
        assert workflow.parse(json.dumps(node), "mine") == node

    @pytest.mark.parametrize("name", ["a.json", "folder/a", "./a"])
    def test_what_is_a_file(self, name):
        assert workflow.is_file(name) and not workflow.is_file("icedit_demo")


def test_a_refusal_shows_what_the_server_offers_once_and_the_rest_in_its_own_words():
    names = [f"lora_{i}" for i in range(60)]
    known = {"Loader": {"input": {"required": {"lora_name": [names, {}], "weight": ["FLOAT"]}}}}
    graph = {"3": {"class_type": "Loader", "inputs": {"lora_name": "mine"}}}
    absent = {"type": "value_not_in_list", "message": "Value not in list", "extra_info": {"input_name": "lora_name"}}
    small = {"type": "value_smaller_than_min", "message": "too small", "extra_info": {"input_name": "weight"}}
    rejection = PromptRejected({"message": "Invalid"}, {"3": {"class_type": "Loader", "errors": [absent, small]}})
    assert workflow.explained(rejection, graph, known) == (
        "Invalid\n  node 3 (Loader), input 'weight': too small\n"
        "  node 3 (Loader), input 'lora_name': the server has no 'mine' in models/loras; it offers "
        f"{', '.join(names[:40])} and 20 more. Another one: --set 3.lora_name=..."
    )


async def test_a_server_without_the_pack_or_the_workflow_says_so():
    nodes: dict = {}
    answers = {"/object_info/ICEditDiptych": nodes, "/workflow_templates": {"my icedit": ["b", "a"], "other": ["c"]}}
    answers["/api/workflow_templates/my icedit/api/a.json"] = shipped("icedit_demo")

    async def answer(request: web.Request) -> web.Response:
        if request.path not in answers:
            raise web.HTTPNotFound
        return web.json_response(answers[request.path])

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", answer)])
    async with TestServer(app) as server, ComfyClient(str(server.make_url(""))) as client:
        with pytest.raises(ValueError, match=r"at http://127\.0\.0\.1:\d+ has no such pack\. Put it into"):
            await workflow.shipped(client, "a")
        nodes["ICEditDiptych"] = {"python_module": "custom_nodes.my icedit"}  # whatever the folder is called
        assert await workflow.shipped(client, "a") == shipped("icedit_demo")
        with pytest.raises(ValueError, match="--workflow x/y: .* it has a, b"):
            await workflow.shipped(client, "x/y")
        with pytest.raises(
            ValueError, match="lists it but does not serve it: .* named 'my icedit', .* Rename it to 'icedit'"
        ):
            await workflow.shipped(client, "b")


async def test_a_workflow_of_the_official_pack_is_pointed_to_the_guide():
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", answer)])
    graph = {"1": {"class_type": "DiptychCreate", "inputs": {}}, "2": {"class_type": "ICEFConditioning", "inputs": {}}}
    async with TestServer(app) as server, ComfyClient(str(server.make_url(""))) as client:
        with pytest.raises(
            ValueError, match=r"official ICEdit pack: DiptychCreate, ICEFConditioning\. .*docs/moving\.md"
        ):
            await workflow.schemas(client, graph)


@pytest.mark.parametrize(("told", "said"), [((), "interrupted; the same command goes on"), (("x",), "x")])
def test_an_interrupted_command_says_so(monkeypatch, capsys, told, said):
    def interrupted(_):
        raise KeyboardInterrupt(*told)

    monkeypatch.setattr(main.train, "run", interrupted)
    assert main.main(["train", "my.toml"]) == main.INTERRUPTED
    assert capsys.readouterr().err == f"icedit train: {said}.\n"


def test_help_names_every_argument(capsys):
    with pytest.raises(SystemExit, match="0"):
        main.main(["edit", "--help"])
    text = capsys.readouterr().out
    assert all(
        word in text
        for word in ("IMAGE", "INSTRUCTION", "-o", "--server", "--workflow", "--seed", "--set", "--timeout")
    )
    assert "130 interrupted" in text
