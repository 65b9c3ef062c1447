"""`icedit edit` and its pictures: names, endings and places are the user's; files are whole or not there."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import os
import time
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from icedit_core.cli import editing, main, pictures, saving

from .comfy_stand_in import StandIn, as_json, picture

CODES = "\x1b]0;title\x07\x1b[2J"


@pytest.fixture
def server():
    with StandIn().serving() as stand_in:
        yield stand_in


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def found(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def format_of(file: Path) -> str | None:
    with Image.open(file) as image:
        return image.format


class TestNames:
    def test_the_ending_is_the_users_whatever_the_server_says(self, server, home):
        (home / "main.py").write_text("mine")
        server.names = ["x.py"]
        assert server.edit(home, "-o", "main.png", "--overwrite") == 0
        assert found(home) == ["main.png", "main.py", "photo.png"]
        assert (home / "main.py").read_text() == "mine" and format_of(home / "main.png") == "PNG"

    def test_nothing_but_pictures_under_clean_names_in_a_folder(self, server, home):
        server.names = [
            ".bashrc", ".bash_aliases", "x.sh", "../../up.png", "/etc/cron.png", "C:\\CON.png", "a\u202eb.png", ".",
            "/", "..", "n" * 300 + ".png", "nul.png", "-o.png", "a.png/", "\u732b.png", "%2e%2e.png", "aux",
        ]  # fmt: skip
        assert server.edit(home, "-o", "out") == 0
        names = [name.removeprefix("out/") for name in found(home) if name != "photo.png"]
        assert len(names) == len(server.names) and all(name.endswith(".png") for name in names)
        assert {"icedit.png", "up.png", "cron.png", "x.png", "\u732b.png", "o.png", "a_b.png"} <= set(names)
        assert all("/" not in name and name[0] not in ".-" and len(name) < 80 for name in names)
        assert not {"con", "nul", "aux"} & {name.removesuffix(".png").lower() for name in names}
        assert found(home.parent) == [f"home/{name}" for name in found(home)]  # nothing beside

    @pytest.mark.parametrize("name", ["COM1.png", "lpt\u00b9.png", "...png", " .png", "", "___.png", "\0.png"])
    def test_stems_that_no_file_should_have(self, name):
        assert saving.safe_stem(name) == "icedit"

    def test_only_the_named_file_is_replaced(self, server, home, capsys):
        for name in ("o.png", "o_1.png", "out/a.png"):
            (home / name).parent.mkdir(exist_ok=True)
            (home / name).write_bytes(b"mine")
        assert server.edit(home, "-o", "o.png") == 2
        server.names = ["a.png", "b.png"]
        assert server.edit(home, "-o", "o.png", "--overwrite") == 0
        assert server.edit(home, "-o", "out") == 0
        assert (
            server.edit(home, "-o", "out", "--overwrite") == 2 and "--overwrite got no file" in capsys.readouterr().err
        )
        assert all((home / name).read_bytes() == b"mine" for name in ("o.png", "o_1.png", "out/a.png"))
        assert found(home) == [
            "o.png", "o_1.png", "o_2.png", "o_3.png", "out/a.png", "out/a_2.png", "out/b.png", "photo.png",
        ]  # fmt: skip
        server.names = ["a.png"]
        assert server.edit(home, "-o", "o.png", "--overwrite") == 0
        assert capsys.readouterr().out.endswith("o.png (replaced)\n") and format_of(home / "o.png") == "PNG"

    def test_without_o_it_is_named_after_the_picture_and_replaces_nothing(self, server, home, capsys):
        for _ in range(2):
            assert server.edit(home) == 0
        assert capsys.readouterr().out == "photo_icedit.png\nphoto_icedit_2.png\n"
        assert server.edit(home, "--overwrite") == 2

    @pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
    def test_a_link_is_not_followed_but_the_folder_may_be_one(self, server, home):
        outside, disk = home.parent / "outside", home.parent / "disk"
        disk.mkdir()
        (home / "out").symlink_to(disk)
        (disk / "a.png").symlink_to(outside)
        (home / "o.png").symlink_to(outside)
        server.names = ["a.png"]
        assert server.edit(home, "-o", "out") == 0 and server.edit(home, "-o", "o.png") == 2
        assert server.edit(home, "-o", "o.png", "--overwrite") == 0
        assert not outside.exists() and found(disk) == ["a_2.png"]
        assert (home / "o.png").is_file() and not (home / "o.png").is_symlink()


class TestFormats:
    @pytest.mark.parametrize("sent", ["PNG", "JPEG", "WEBP"])
    @pytest.mark.parametrize(
        ("name", "wanted"), [("o.png", "PNG"), ("o.JPG", "JPEG"), ("o.jpeg", "JPEG"), ("o.webp", "WEBP")]
    )
    def test_the_ending_says_the_format(self, server, home, sent, name, wanted):
        server.files["demo_00001_.png"] = picture(sent)
        assert server.edit(home, "-o", name) == 0
        assert format_of(home / name) == wanted
        if sent == wanted:
            assert (home / name).read_bytes() == picture(sent)
        with Image.open(home / name) as image:
            red, green, blue = image.convert("RGB").getpixel((4, 3))
        assert abs(red - 200) < 12 and abs(green - 30) < 12 and abs(blue - 60) < 12

    def test_others_are_refused_before_anything_is_sent(self, home, capsys):
        (home / "photo.png").write_bytes(picture())
        assert main.main(["edit", "photo.png", "words", "-o", "out.gif"]) == 2
        assert ".png, .jpg, .jpeg, .webp file or a folder is needed" in capsys.readouterr().err

    def test_a_picture_that_unpacks_to_too_much_is_not_converted(self, server, home, capsys):
        server.files["demo_00001_.png"] = picture(size=(7000, 7000), mode="L")
        assert server.edit(home, "-o", "o.jpg") == 1 and found(home) == ["photo.png"]
        assert "7000x7000 px; name a .png file" in capsys.readouterr().err
        assert server.edit(home, "-o", "o.png") == 0


def broken(data: bytes) -> list[bytes]:
    return [
        b"<html>no picture</html>", b"import os\n", data[:-1], data[:40], data + b"#!", data[:50] + b"!" + data[51:],
        data.replace(b"IHDR", b"IDAT"), b"\x89PNG\r\n\x1a\n", picture("JPEG")[:-2], picture("WEBP") + b"x",
        picture("GIF"), gzip.compress(data), b"\xff\xd8\xff" + bytes(50) + b"\xff\xd9",
        data[:16] + bytes(8) + data[24:],
    ]  # fmt: skip


class TestWholeOrNone:
    @pytest.mark.parametrize("number", range(len(broken(picture()))))
    @pytest.mark.parametrize("name", ["o.png", "o.jpg"])
    def test_what_is_no_picture_is_not_kept(self, server, home, capsys, number, name):
        data = broken(picture())[number]
        if data.startswith(b"\xff\xd8\xff") and name == "o.jpg":
            pytest.skip("a JPEG is not decoded where one is wanted")
        server.files["demo_00001_.png"] = data
        assert server.edit(home, "-o", name) == 1 and found(home) == ["photo.png"]
        assert "the server's picture demo_00001_.png was not saved: it " in capsys.readouterr().err

    def test_one_odd_picture_does_not_cost_the_others(self, server, home, capsys):
        server.names = ["a.png", "b\0.png", 7, {"filename": ["c"]}, [], "html.png", "d.png"]
        server.names[2] = {"filename": 7}
        server.files["html.png"] = b"<html>"
        assert server.edit(home, "-o", "out") == 1
        assert found(home) == ["out/a.png", "out/d.png", "photo.png"]
        said = capsys.readouterr()
        assert said.out == f"{Path('out/a.png')}\n{Path('out/d.png')}\n" and said.err.count("is left out") == 4

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
    def test_a_disk_that_is_full_or_read_only_is_one_sentence(self, server, home, capsys, monkeypatch, code):
        real = open

        def failing(file, mode="r", *rest, **more):
            if not str(file).endswith(".part"):
                return real(file, mode, *rest, **more)
            if code != errno.ENOSPC:
                raise OSError(code, os.strerror(code))

            class Full(io.FileIO):
                def write(self, data):
                    super().write(data[:40])
                    raise OSError(code, os.strerror(code))

            return Full(file, mode)

        monkeypatch.setattr(saving, "open", failing, raising=False)
        assert server.edit(home, "-o", "o.png") == 1
        assert found(home) == ["photo.png"]
        words = capsys.readouterr().err
        assert f"demo_00001_.png cannot be saved ({os.strerror(code)}); it is still on the server." in words

    def test_a_file_of_the_users_stays_when_the_new_one_breaks_off(self, server, home):
        (home / "o.png").write_bytes(b"mine")

        async def breaks(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"Content-Length": "1000"})
            await answer.prepare(request)
            await answer.write(picture()[:50])
            request.transport.close()
            return answer

        server.handlers["view"] = breaks
        assert server.edit(home, "-o", "o.png", "--overwrite") == 1
        assert (home / "o.png").read_bytes() == b"mine" and found(home) == ["o.png", "photo.png"]


class TestOddAnswers:
    """Each is a sentence, and none is repeated raw."""

    CASES = (
        ("prompt", {"node_errors": {"1": 7}}),
        ("prompt", {"node_errors": {"1": {"class_type": [CODES]}}}),
        ("prompt", {"node_errors": {CODES: {"errors": [{"type": "value_not_in_list", "extra_info": [1]}]}}}),
        ("prompt", {"node_errors": [7]}),
        ("prompt", {"error": CODES, "node_errors": {"9": {"errors": {"a": 1}}}}),
        ("prompt", []),
        ("object_info", {"LoadImage": 7, "ICEditDiptych": {"python_module": [1]}}),
        ("object_info", {"ICEditDiptych": {"python_module": CODES}}),
        ("api", {"1": {"class_type": CODES, "inputs": {}}}),
        ("api", {"1": {"class_type": "LoadImage", "inputs": {}, "_meta": [1]}}),
        ("api", {CODES: {"class_type": "ICEditPrompt", "inputs": {"instruction": [CODES, []]}, "_meta": [1]}}),
        ("api", {str(number): {"class_type": "LoadImage", "inputs": {}} for number in range(3000)}),
        ("api", {"nodes": []}),
        ("upload", {"name": 7}),
        ("upload", {"name": "a\x1b.png"}),
        ("history", {}),
        ("history", []),
    )

    @pytest.mark.parametrize(("part", "value"), CASES)
    def test_a_sentence(self, server, home, capsys, part, value):
        server.handlers[part] = as_json(value)
        setting = ["--set", "What to change.instruction=x"] if part == "api" else []  # reads the titles of the nodes
        code = server.edit(home, "-o", "o.png", *setting)
        assert code in ((1,) if part in ("prompt", "upload", "history") else (1, 2))
        words = capsys.readouterr().err
        assert words and "Traceback" not in words and words.replace("\n", "").isprintable()

    def test_notes_titles_and_names_are_cleaned(self, server, home, capsys):
        server.notes = [f"note{CODES}\nicedit edit: all is well", "x" * 5000]
        server.names = ["\u202egnp.exe", "a.png"]
        server.files["\u202egnp.exe"] = b"MZ"
        server.edit(home, "-o", "out")
        words = capsys.readouterr().err
        assert words.replace("\n", "").isprintable() and "\nicedit edit: all" not in words and len(words) < 4000
        assert "\\x1b]0;title" in words and "\\u202egnp.exe was not saved" in words

    @pytest.mark.parametrize("flood", [False, True])
    def test_a_server_that_says_nothing_is_given_up_though_it_pings(self, server, home, capsys, flood):
        async def silent(socket: web.WebSocketResponse, _prompt_id: str) -> None:
            end = time.monotonic() + 3
            while flood and time.monotonic() < end:
                for _ in range(1000):
                    await socket.ping(b"x" * 100)
                await asyncio.sleep(0)

        server.talk = silent
        before = time.monotonic()
        assert server.edit(home, "-o", "o.png", "--timeout", "0.5") == 1
        assert time.monotonic() - before < 2.5
        assert "no news for 0.5 s" in capsys.readouterr().err

    def test_a_server_that_invents_news_is_given_up(self, server, home, capsys, monkeypatch):
        async def inventive(socket: web.WebSocketResponse, prompt_id: str) -> None:
            for number in range(200):
                await socket.send_json({"type": "executing", "data": {"prompt_id": prompt_id, "node": f"n{number}"}})
                await asyncio.sleep(0.02)

        server.talk = inventive
        monkeypatch.setattr(editing, "IN_ALL", 2)
        before = time.monotonic()
        assert server.edit(home, "-o", "o.png", "--timeout", "0.5") == 1
        assert time.monotonic() - before < 3
        assert "s, but it had to be done by then" in capsys.readouterr().err

    @pytest.mark.parametrize("part", ["object_info", "view"])
    def test_a_server_that_is_slow_before_or_after_the_run_is_given_up(self, server, home, capsys, monkeypatch, part):
        """Each answer comes in time, so that only their number makes an edit endless."""

        async def slow(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(0.3)
            return await getattr(server, f"_{part}")(request)

        server.handlers[part] = slow
        server.names = [f"a{number}.png" for number in range(40)]
        server.graph = {
            **server.graph,
            **{f"n{number}": {"class_type": f"Kind{number}", "inputs": {}} for number in range(40 * (part != "view"))},
        }
        server.schemas = {**server.schemas, **{f"Kind{number}": {} for number in range(40)}}
        monkeypatch.setattr(editing, "IN_ALL", 2)
        before = time.monotonic()
        assert server.edit(home, "-o", "out", "--timeout", "0.6") == 1
        assert time.monotonic() - before < 7  # 12 s and more without the limit
        assert "the edit took more than 2.4 s" in capsys.readouterr().err
        assert not list(home.rglob("*.part"))


class TestWhatTheUserGives:
    @pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
    def test_a_picture_in_tiles_is_refused_with_the_remedy(self, home, capsys, brand):
        item = b"\0\0\0\x15infe\x02\0\0\0\0\x31\0\0grid\0"
        (home / "p.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(12) + b"\0\0\1\0meta" + item + bytes(900))
        assert main.main(["edit", "p.heic", "words"]) == 2
        assert "in tiles, but ComfyUI reads only the first tile" in capsys.readouterr().err
        (home / "p.heic").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(12) + item.replace(b"grid", b"av01"))
        pictures.refuse_tiles(home / "p.heic")

    def test_transparency_that_is_lost_is_said(self, server, home, capsys):
        (home / "photo.png").write_bytes(picture(mode="RGBA"))
        assert server.edit(home, "-o", "o.png") == 0
        assert "photo.png is transparent in parts" in capsys.readouterr().err
        server.graph = {**server.graph, "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 1]}}}  # its mask
        assert server.edit(home, "-o", "o2.png") == 0
        (home / "photo.png").write_bytes(picture())
        server.graph.pop("4")
        assert server.edit(home, "-o", "o3.png") == 0
        assert "transparent" not in capsys.readouterr().err
