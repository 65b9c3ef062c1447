"""Finding and installing the browser for the browser ring, and what the test command says without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devtools import chromium
from devtools.commands import test

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts stand for programs")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(chromium.VARIABLE, raising=False)
    monkeypatch.setattr(chromium, "PLACES", ())
    return tmp_path


def program(file: Path, script: str) -> Path:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def browser(file: Path) -> Path:
    return program(file, "echo Chromium 150.0")


def test_the_first_that_runs_is_taken(programs: Path):
    assert chromium.find() is None
    program(programs / "chromium", "echo install the snap instead; exit 1")
    program(programs / "chromium-browser", "echo something else 1.0")
    assert chromium.find() is None
    chrome = browser(programs / "google-chrome")
    assert chromium.find() == chrome


def test_the_named_one_wins_or_is_an_error(programs: Path, monkeypatch: pytest.MonkeyPatch):
    browser(programs / "chromium")
    monkeypatch.setenv(chromium.VARIABLE, str(browser(programs / "mine")))
    assert chromium.find() == programs / "mine"
    monkeypatch.setenv(chromium.VARIABLE, str(programs / "nothing"))
    with pytest.raises(ValueError, match="ICEDIT_CHROMIUM: got .*nothing"):
        chromium.find()


def test_installing_asks_apt_only_if_there_is_none(programs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ValueError, match="apt-get and root, which are not both here"):
        chromium.install()
    called = programs / "called"
    program(programs / "apt-get", f'echo "$@" >> {called}')
    with pytest.raises(ValueError, match="left none that works"):
        chromium.install()
    update, install = called.read_text().splitlines()
    assert update.split()[0] == "update" and install.split()[0] == "install" and "chromium" in install
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ValueError, match="apt-get and root"):
        chromium.install()
    there = browser(programs / "chromium")
    called.unlink()
    assert chromium.install() == there and not called.exists()


def test_without_a_browser_the_ring_is_skipped_in_words_and_fails_where_it_must_run(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    ring = programs / "tests" / "browser" / "test_it.py"
    ring.parent.mkdir(parents=True)
    ring.write_text("def test_it():\n    pass\n")
    (programs / "pyproject.toml").write_text("")
    monkeypatch.setattr(test, "ROOT", programs)
    assert test.main(["browser"]) == 0
    assert "browser: skipped: no Chromium or Chrome found; install one" in capfd.readouterr().out
    assert test.main(["--install-browser", "browser"]) == 1
    assert "browser: no Chromium or Chrome found" in capfd.readouterr().out
    browser(programs / "chromium")
    monkeypatch.setattr(test, "has_accelerator", lambda: True)
    assert test.main(["browser"]) == 0
    assert "browser: 1 passed" in capfd.readouterr().out
