"""dev.py and what it runs before there is an environment: finding what exists, preparing what does not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import dev
from devtools import locate, prepare

ROOT = Path(__file__).resolve().parents[2]
posix_only = pytest.mark.skipif(os.name == "nt", reason="shell scripts and plain symlinks are POSIX's")


def comfyui_at(folder: Path) -> Path:
    (folder / "comfy").mkdir(parents=True)
    (folder / "main.py").touch()
    return folder


def python_at(file: Path, code: int) -> Path:
    """An executable that answers the question for modules with `code`."""
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\nexit {code}\n")
    file.chmod(0o755)
    return file


class TestLocate:
    def test_comfyui_path_wins_over_the_folder_around_us(self, tmp_path, monkeypatch):
        around = comfyui_at(tmp_path / "around")
        named = comfyui_at(tmp_path / "named")
        pack = around / "custom_nodes" / "icedit"
        pack.mkdir(parents=True)
        monkeypatch.delenv("COMFYUI_PATH", raising=False)
        assert locate.existing_comfyui(pack) == around
        monkeypatch.setenv("COMFYUI_PATH", str(named))
        assert locate.existing_comfyui(pack) == named

    def test_a_wrong_comfyui_path_is_an_error_and_not_passed_over(self, tmp_path, monkeypatch):
        monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
        with pytest.raises(ValueError, match=r"COMFYUI_PATH: got .*main\.py"):
            locate.existing_comfyui(tmp_path)

    @posix_only
    def test_a_pack_linked_into_custom_nodes_is_in_that_comfyui(self, tmp_path, monkeypatch):
        monkeypatch.delenv("COMFYUI_PATH", raising=False)
        host = comfyui_at(tmp_path / "host")
        (tmp_path / "pack").mkdir()
        (host / "custom_nodes").mkdir()
        (host / "custom_nodes" / "icedit").symlink_to(tmp_path / "pack")
        assert locate.existing_comfyui(host / "custom_nodes" / "icedit") == host
        assert locate.existing_comfyui(tmp_path / "pack") is None

    @posix_only
    def test_its_own_python_is_taken_only_if_it_has_the_modules(self, tmp_path, monkeypatch):
        host = comfyui_at(tmp_path / "host")
        monkeypatch.delenv("COMFYUI_PYTHON", raising=False)
        assert locate.python_of(host, ["json"]) == Path(sys.executable)
        assert locate.python_of(host, ["no_such_module"]) is None
        bare = python_at(host / "venv" / "bin" / "python", 1)
        full = python_at(host / ".venv" / "bin" / "python", 0)
        assert locate.python_of(host, ["torch"]) == full != bare
        named = python_at(tmp_path / "elsewhere" / "python", 0)
        monkeypatch.setenv("COMFYUI_PYTHON", str(named))
        assert locate.python_of(host, ["torch"]) == named
        named.unlink()
        with pytest.raises(ValueError, match="COMFYUI_PYTHON: got"):
            locate.python_of(host, ["torch"])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ICEDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class TestPrepare:
    def test_the_cache_is_where_the_user_or_the_system_wants_it(self, cache, monkeypatch):
        assert prepare.cache_folder() == cache
        monkeypatch.delenv("ICEDIT_CACHE")
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        assert prepare.cache_folder() == Path("/xdg/icedit")
        monkeypatch.setattr(sys, "platform", "darwin")
        assert prepare.cache_folder() == Path.home() / "Library" / "Caches" / "icedit"

    def test_compiled_python_is_kept_in_the_cache_where_it_is_not_wanted_beside_the_sources(self, cache):
        assert prepare.with_bytecode({"A": "1"}) == {"A": "1"}
        kept = prepare.with_bytecode({"PYTHONDONTWRITEBYTECODE": "1"})
        assert kept == {"PYTHONPYCACHEPREFIX": str(cache / "bytecode")}
        own = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/mine"}
        assert prepare.with_bytecode(own) == {"PYTHONPYCACHEPREFIX": "/mine"}

    def test_new_pins_make_a_new_folder(self, cache, tmp_path, monkeypatch):
        monkeypatch.setattr(prepare, "REQUIREMENTS", tmp_path)
        (tmp_path / "host.txt").write_text("a==1\n")
        first = prepare._folder("environment", "host.txt", "3.11")
        assert prepare._folder("environment", "host.txt", "3.12") != first
        (tmp_path / "host.txt").write_text("a==2\n")
        assert prepare._folder("environment", "host.txt", "3.11") != first

    def test_a_folder_is_whole_or_absent(self, cache):
        cache.mkdir()
        target = cache / "thing"

        def half(folder: Path) -> None:
            (folder / "first").touch()
            raise KeyboardInterrupt

        def whole(folder: Path) -> None:
            assert list(folder.iterdir()) == []  # nothing is left of the first attempt
            (folder / "second").touch()

        with pytest.raises(KeyboardInterrupt):
            prepare._build(target, half)
        assert not target.exists()
        prepare._build(target, whole)
        assert [file.name for file in target.iterdir()] == ["second"]
        assert [folder.name for folder in cache.iterdir()] == ["thing"]

    def test_a_killed_preparation_frees_its_lock(self, cache):
        code = "import time, devtools.prepare as it\nwith it._locked(): print('held', flush=True); time.sleep(60)"
        holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
        try:
            assert holder.stdout.readline().strip() == b"held"
            with (cache / "lock").open("a+b") as file:
                assert not prepare._try_lock(file.fileno())
        finally:
            holder.kill()
            holder.wait()
        with prepare._locked():
            pass

    def archive(self, folder: Path, *members: tuple[str, bytes]) -> Path:
        file = folder / "package.tar.gz"
        with tarfile.open(file, "w:gz") as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo("package-1/vendor/ComfyUI/link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        return file

    def test_only_comfyuis_files_are_taken_out(self, tmp_path):
        main, other = ("package-1/vendor/ComfyUI/main.py", b"1"), ("package-1/setup.py", b"2")
        deep = ("package-1/vendor/ComfyUI/comfy/sd.py", b"3")
        prepare._extract(self.archive(tmp_path, main, other, deep), tmp_path / "out")
        taken = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if not p.is_dir()}
        assert taken == {"main.py", "comfy/sd.py"}

    @pytest.mark.parametrize("name", ["../../../escaped", "comfy/../../../../escaped", "c:escaped"])
    def test_paths_that_point_out_are_refused(self, tmp_path, name):
        archive = self.archive(tmp_path, (f"package-1/vendor/ComfyUI/{name}", b"x"))
        with pytest.raises(prepare.PreparationFailed, match="stay in its folder"):
            prepare._extract(archive, tmp_path / "a" / "b" / "c" / "d" / "out")
        assert not list(tmp_path.rglob("escaped"))

    def test_an_archive_without_comfyui_is_refused(self, tmp_path):
        with pytest.raises(prepare.PreparationFailed, match="main.py"):
            prepare._extract(self.archive(tmp_path, ("package-1/vendor/ComfyUI/x.py", b"")), tmp_path / "out")

    def test_a_failing_command_is_an_error_that_shows_it(self):
        with pytest.raises(prepare.PreparationFailed, match=r"exit code 3: .* -c raise SystemExit\(3\)"):
            prepare._run(sys.executable, "-c", "raise SystemExit(3)")


class TestDev:
    def test_arguments_are_passed_on_untouched(self):
        assert dev.split(["test", "core", "--", "-k", "x"]) == ("test", ["core", "--", "-k", "x"])
        assert dev.split(["demo", "--seed", "3"]) == ("demo", ["--seed", "3"])

    @pytest.mark.parametrize("argv", [[], ["nonsense"]])
    def test_a_wrong_command_ends_with_two(self, argv):
        with pytest.raises(SystemExit, match="2"):
            dev.split(argv)

    def test_needs_the_standard_library_alone(self):
        code = "import sys, dev\nfrom devtools import locate, prepare\nprint(*{m.split('.')[0] for m in sys.modules})"
        run = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert set(run.stdout.split()) <= {"__main__", "dev", "devtools", *sys.stdlib_module_names}

    def test_a_wrong_comfyui_path_is_said_in_one_line(self, tmp_path):
        environment = {**os.environ, "COMFYUI_PATH": str(tmp_path), "ICEDIT_CACHE": str(tmp_path)}
        run = subprocess.run(
            [sys.executable, "dev.py", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 1 and run.stderr.startswith("dev.py: COMFYUI_PATH: got") and not run.stdout
