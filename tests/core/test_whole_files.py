"""Files that are whole or not there."""

import os
import stat
from pathlib import Path

import pytest

from icedit_core.whole_files import write_whole


def test_a_file_is_written_and_one_that_is_there_replaced(tmp_path: Path):
    file = tmp_path / "a.txt"
    for text in ("one", "two"):
        write_whole(file, lambda beside, text=text: beside.write_text(text))
        assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_text("before")

    def fails(beside: Path) -> None:
        beside.write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_whole(file, fails)
    assert file.read_text() == "before" and list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="modes and links")
def test_the_mode_is_the_umasks_and_a_link_is_replaced(tmp_path: Path):
    other = tmp_path / "other.txt"
    other.write_text("mine")
    link = tmp_path / "link.txt"
    link.symlink_to(other)

    def private(beside: Path) -> None:
        beside.write_text("new")
        beside.chmod(0o600)

    plain = tmp_path / "plain.txt"
    plain.touch()
    write_whole(link, private)
    assert other.read_text() == "mine" and link.read_text() == "new" and not link.is_symlink()
    assert stat.S_IMODE(link.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
