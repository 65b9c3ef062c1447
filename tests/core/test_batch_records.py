"""The records file of a run: whole lines, one run at a time, and a stopped run taken over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from icedit_core.batch import records, sheet

HEAD = {"icedit": "batch", "workflow": "w", "servers": ["a"]}
SAME = ("icedit", "workflow")


def run(folder: Path, *added: dict, head: dict = HEAD, **how) -> dict[str, str]:
    with records.Records(folder) as kept:
        done = kept.begin(head, SAME, **how)
        for record in added:
            kept.add(record)
    return done


def rows_in(folder: Path) -> list[dict]:
    return list(records.read(folder / records.NAME)[1])


def test_a_run_goes_on_with_what_is_there(tmp_path: Path):
    assert run(tmp_path, {"row": "1", "wish": "x"}, {"row": "2", "wish": "y", "error": "bad"}) == {}
    assert run(tmp_path, {"row": "3", "wish": "z"}, head={**HEAD, "servers": ["b"]}) == {"1": "x", "2": ""}
    assert [record["row"] for record in rows_in(tmp_path)] == ["1", "2", "3"]
    assert records.read(tmp_path / records.NAME)[0] == HEAD


def test_a_last_line_that_was_cut_off_is_run_again(tmp_path: Path):
    run(tmp_path, {"row": "1", "wish": "x"}, {"row": "2", "wish": "y"})
    file = tmp_path / records.NAME
    whole = file.read_bytes()
    for cut in range(1, len(whole.splitlines(keepends=True)[-1])):
        file.write_bytes(whole[:-cut])
        assert run(tmp_path) == {"1": "x"}
        assert file.read_bytes().endswith(b'"x"}\n')
    file.write_bytes(b'{"icedit"')
    assert run(tmp_path) == {} and records.read(file)[0] == HEAD


def test_failed_rows_can_be_done_again(tmp_path: Path):
    run(tmp_path, {"row": "1", "wish": "x"}, {"row": "2", "wish": "y", "error": "bad"})
    assert run(tmp_path, redo_errors=True) == {"1": "x"}
    assert [record["row"] for record in rows_in(tmp_path)] == ["1"]


def test_another_runs_folder_is_refused(tmp_path: Path):
    run(tmp_path)
    with pytest.raises(ValueError, match="its workflow differs"):
        run(tmp_path, head={**HEAD, "workflow": "other"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other things"):
        run(tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_two_runs_do_not_share_a_folder(tmp_path: Path):
    with records.Records(tmp_path), pytest.raises(ValueError, match="another run writes to"):
        run(tmp_path)
    run(tmp_path)


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b'"x"\n'])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes):
    run(tmp_path, {"row": "1", "wish": "x"})
    with (tmp_path / records.NAME).open("ab") as stream:
        stream.write(line)
    with pytest.raises(ValueError, match="line 3 "):
        run(tmp_path)
    with pytest.raises(ValueError, match="does not begin with the head"):
        other = tmp_path / "other.jsonl"
        other.write_text(json.dumps({"row": 1}) + "\n")
        records.read(other)


@pytest.mark.parametrize("named", ["../secret.png", "link.png", "ABSOLUTE", "pictures", "missing.png", "a\0b", 3, None])
def test_a_record_names_no_picture_outside_of_its_folder(tmp_path: Path, named: object):
    out, secret = tmp_path / "run", tmp_path / "secret.png"
    (out / "pictures").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(secret)
    (out / "link.png").symlink_to(secret)
    named = str(secret) if named == "ABSOLUTE" else named
    record = {"row": "1", "instruction": "x", "files": [named]}
    assert records.first_picture(out, record) is None
    assert sheet.write(out, [record], {}) == out / sheet.NAME
    with Image.open(out / sheet.NAME) as shown:
        assert not [c for _, c in shown.convert("RGB").getcolors(2**24) if c[0] > 200 and max(c[1:]) < 60]


def test_a_record_names_a_picture_of_its_folder(tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "pictures" / "1.png")
    assert records.first_picture(tmp_path, {"files": ["pictures/1.png"]}) == (tmp_path / "pictures" / "1.png").resolve()
