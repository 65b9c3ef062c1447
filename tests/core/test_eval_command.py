"""`icedit eval` from end to end: pictures made elsewhere and by a server, figures, report, table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from icedit_core.cli import main
from icedit_core.evaluation import outcomes, report

from . import eval_samples as samples
from .comfy_stand_in import picture
from .test_batch_command import Worker
from .test_compare_command import check_is_closed


def run(*arguments: object) -> int:
    return main.main(["eval", *map(str, arguments)])


def eight_bit(pixels: np.ndarray) -> np.ndarray:
    return (pixels * 255).round().clip(0, 255).astype(np.uint8)


def test_scenes_are_checked_as_the_demo_checks_them(tmp_path: Path, capsys):
    data, made = samples.scenes(tmp_path / "data", 12)
    edits, rng = tmp_path / "edits", np.random.default_rng(0)
    edits.mkdir()
    expected = {}
    for number, scene in enumerate(made):
        mix = (1, 0, 0.97)[number % 3]
        edit = eight_bit(scene.source + mix * (scene.target - scene.source) + rng.normal(0, 0.01, scene.source.shape))
        Image.fromarray(edit).save(edits / f"{number}.png")
        expected[str(number)] = scene.check(edit.astype(np.float32) / 255)
    out = tmp_path / "out"
    assert run("--protocol", "scenes", "--data", data, "--edits", edits, "-o", out) == 0
    found = outcomes.read(out / outcomes.METRICS)
    assert {key: row.numbers["success"] for key, row in found.rows.items()} == {
        key: float(verdict.success) for key, verdict in expected.items()
    }
    assert 0 < sum(verdict.success for verdict in expected.values()) < 12
    said = capsys.readouterr().out
    mean = np.mean([verdict.success for verdict in expected.values()])
    assert f"success {mean:.4g} (" in said and str(out / report.PAGE) in said
    text = (out / report.PAGE).read_text(encoding="utf-8")
    check_is_closed(text)
    assert "By task" in text and "Worst" in text and text.count("data:image/png") >= 1
    table = list(csv.DictReader((out / "metrics.csv").open(encoding="utf-8")))
    assert len(table) == 12 and float(table[0]["success"]) == expected["0"].success
    assert run("--protocol", "scenes", "--data", data, "--edits", edits, "-o", out) == 0, "the same run goes on"


def test_broken_and_missing_rows_are_counted_and_listed(tmp_path: Path):
    data, edits, out = samples.own(tmp_path / "data"), tmp_path / "edits", tmp_path / "out"
    samples.save(edits, "good.png", 7)
    assert run("--protocol", "folder", "--data", data, "--edits", edits, "-o", out) == 1
    found = outcomes.read(out / outcomes.METRICS)
    assert len(found.rows) == 9 and found.failed == 8
    assert "no picture of it" in found.rows["plain"].error
    good = found.rows["good"].numbers
    assert {"l1", "psnr", "ssim", "psnr_masked", "changed_share"} <= set(good) and "clip_i" not in good
    text = (out / report.PAGE).read_text(encoding="utf-8")
    check_is_closed(text)
    assert "left out: CLIP: no file of its weights is given" in text and "no picture of it" in text


def test_a_server_makes_the_edits_and_a_second_run_makes_none(tmp_path: Path):
    data, out = samples.pie(tmp_path / "data"), tmp_path / "out"
    with Worker().serving() as server:
        arguments = ("--protocol", "pie", "--data", data, "-o", out, "--server", server.url, "--timeout", 5)
        assert run(*arguments) == 1  # six rows of the sample are broken
        assert len(server.prompts) == 2
        assert run(*arguments) == 1 and len(server.prompts) == 2
        assert run(*arguments, "--limit", 1) == 2
    found = outcomes.read(out / outcomes.METRICS)
    assert {"psnr_masked", "changed_share", "seconds", "nfe"} <= set(found.rows["0"].numbers)
    head = json.loads((out / "records.jsonl").read_text().splitlines()[0])
    assert (head["icedit"], head["protocol"], head["limit"]) == ("eval", "pie", None)


def test_the_turns_of_a_session_edit_the_result_of_the_turn_before(tmp_path: Path, capsys):
    data, out = samples.magicbrush(tmp_path / "data"), tmp_path / "out"
    sent: dict[str, bytes] = {}
    with Worker().serving() as server:

        async def upload(request: web.Request) -> web.Response:
            form = await request.post()
            sent[form["image"].filename] = form["image"].file.read()
            return web.json_response({"name": form["image"].filename, "type": "input", "subfolder": ""})

        server.handlers["upload"] = upload
        arguments = ("--protocol", "magicbrush_turns", "--data", data, "--server", server.url, "--timeout", 5)
        assert run(*arguments, "-o", out) == 1  # four rows of the sample are broken
        server.files["demo_00001_.png"] = b"no picture"
        assert run(*arguments, "-o", tmp_path / "none") == 1
    assert sent["7-1.png"] == (out / "sources" / "7-1.png").read_bytes()
    assert sent["7-2.png"] == (out / "pictures" / "7-1.png").read_bytes() == picture()
    found = outcomes.read(out / outcomes.METRICS)
    assert "l1_final" not in found.rows["7-1"].numbers
    last = found.rows["7-2"].numbers
    assert last["l1_final"] == last["l1"] and last["psnr"] < 100
    assert found.rows["7-2"].source == out / "pictures" / "7-1.png"
    lost = outcomes.read(tmp_path / "none" / outcomes.METRICS).rows["7-2"]
    assert lost.error == "the row before it, 7-1, has no picture"


def test_text_cannot_act_in_report_or_table(tmp_path: Path):
    data = tmp_path / "data"
    line = {"source": samples.save(data, "1.png", 1), "instruction": '=HYPERLINK("x")<script>', "id": "<b>1"}
    (data / "rows.jsonl").write_text(json.dumps({**line, "task": "@x"}) + "\n")
    samples.save(tmp_path / "edits", "_b_1.png", 2)
    assert run("--protocol", "folder", "--data", data, "--edits", tmp_path / "edits", "-o", tmp_path / "out") == 0
    text = (tmp_path / "out" / report.PAGE).read_text(encoding="utf-8")
    check_is_closed(text)
    assert "<b>1" not in text and "&lt;script&gt;" in text
    (row,) = csv.DictReader((tmp_path / "out" / "metrics.csv").open(encoding="utf-8"))
    assert row["instruction"].startswith("'=") and row["task"] == "'@x"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "none"], "no such file or folder"),
        (["--edits", "none"], "no such folder"),
        (["--limit", "0"], "--limit got 0"),
        (["--clip", "none"], "CLIP: got none"),
    ],
)
def test_wrong_arguments(tmp_path: Path, capsys, arguments: list[str], words: str):
    data = samples.own(tmp_path / "data")
    assert run("--protocol", "folder", "--data", data, "-o", tmp_path / "out", *arguments) == 2
    assert words in capsys.readouterr().err
