"""Judges in `icedit eval`, from a scripted server: scores, how they were asked, and what goes on after a stop."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from aiohttp import web

from icedit_core.batch import records
from icedit_core.cli import main
from icedit_core.evaluation import judging, outcomes, report
from icedit_core.judges import server as judge_server

from . import eval_samples as samples
from .comfy_stand_in import StandIn
from .judge_bodies import chat


class Scripted(StandIn):
    """A judge's server; `says(words of the question, number of pictures)` is its answer, or a status."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict] = []
        self.says = lambda words, pictures: json.dumps({"score": [8, 6] if pictures == 2 else [9, 7], "reasoning": "r"})

    async def _v1(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.bodies.append(body)
        parts = body["messages"][-1]["content"]
        said = self.says(parts[-1]["text"], sum(part["type"] == "image_url" for part in parts))
        return web.Response(status=said) if isinstance(said, int) else web.json_response(chat(said))


@pytest.fixture
def judge():
    with Scripted().serving() as server:
        yield server


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(judge_server, "FIRST_WAIT", 0.01)


def data_of(folder: Path, count: int) -> tuple[Path, Path]:
    """So many rows with their edits; every other one is of another task."""
    lines = []
    for number in range(count):
        source = samples.save(folder / "data", f"{number}.png", number)
        samples.save(folder / "edits", f"{number}.png", number + 50, (80, 60))
        task = ("colour", "style")[number % 2]
        lines.append({"source": source, "instruction": f"make it {number}", "id": str(number), "task": task})
    (folder / "data" / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "data", folder / "edits"


def run(folder: Path, judge: Scripted, *arguments: object, count: int = 2) -> int:
    data, edits = data_of(folder, count)
    given = ["--protocol", "folder", "--data", data, "--edits", edits, "-o", folder / "out"]
    given += ["--judge", f"{judge.url}/v1", "--judge-model", "m", *arguments]
    return main.main(["eval", *map(str, given)])


def judged(folder: Path) -> dict[str, dict]:
    every = list(records.read(folder / "out" / judging.FOLDER / records.NAME)[1])
    assert len(every) == len({record["row"] for record in every})
    return {record["row"]: record for record in every}


def test_scores_and_how_they_were_asked(tmp_path, judge):
    assert run(tmp_path, judge) == 0
    first, second = judged(tmp_path).values()
    assert (first["sc"], first["pq"], first["overall"]) == (6, 7, pytest.approx(math.sqrt(42)))
    assert (first["questions"], first["passes"], first["seeds"]) == ("VIEScore", 1, [0])
    assert first["sampling"] == [{"temperature": 0.0, "top_p": 1.0, "top_k": 0}] and "m at http" in first["judge"]
    assert first["questions_sha256"] == second["questions_sha256"] and len(first["prompt_sha256"]) == 64
    assert first["prompt_sha256"] != second["prompt_sha256"]
    numbers = outcomes.read(tmp_path / "out" / outcomes.METRICS).rows["0"].numbers
    assert numbers["judge_overall"] == pytest.approx(math.sqrt(42)) and numbers["judge_sc"] == 6
    text = (tmp_path / "out" / report.PAGE).read_text(encoding="utf-8")
    assert "judge_overall" in text and "VIEScore, 0 to 10" in text
    asked = len(judge.bodies)
    assert asked == 4 and run(tmp_path, judge) == 0 and len(judge.bodies) == asked
    assert run(tmp_path, judge, "--questions", "EditScore") == 2, "one folder takes one judge"


def test_passes_have_seeds_that_follow_on(tmp_path, judge):
    assert run(tmp_path, judge, "--questions", "EditScore", "--passes", 2, count=1) == 0
    (record,) = judged(tmp_path).values()
    assert (record["passes"], record["seeds"]) == (2, [42, 43])
    assert record["questions"] == "EditScore, mean of 2 passes" and record["sampling"][0]["temperature"] == 0.7
    assert sorted(body["seed"] for body in judge.bodies) == [42, 42, 43, 43]


def test_a_judge_that_goes_away_is_asked_about_the_others_later(tmp_path, judge, capsys):
    judge.says = lambda words, pictures: 403
    assert run(tmp_path, judge, count=6) == 1
    assert "the judge gave no answer for 3 rows in turn" in capsys.readouterr().err
    asked = len(judge.bodies)
    assert asked <= 8, "four rows at once, no further ones"
    judge.says = lambda words, pictures: "no numbers" if "make it 5" in words else Scripted().says(words, pictures)
    assert run(tmp_path, judge, count=6) == 0
    every = judged(tmp_path)
    assert len(every) == 6 and not any(record["error"] for record in every.values())
    assert every["5"]["overall"] is None and every["5"]["notes"]
    text = (tmp_path / "out" / report.PAGE).read_text(encoding="utf-8")
    assert "left out: judge: its answer could not be read" in text


def test_questions_of_ones_own_for_each_task(tmp_path, judge):
    (tmp_path / "words").mkdir()
    words = "name: Own\nreader: three_numbers\n--- source, edit\nIs it <instruction>?"
    (tmp_path / "words" / "colour.questions.txt").write_text(words)
    judge.says = lambda words, pictures: "Follows: 5\nKeeps: 4\nLooks: 3"
    assert run(tmp_path, judge, "--questions", tmp_path / "words") == 0
    every = judged(tmp_path)
    assert every["0"]["overall"] == 4 and every["0"]["sc"] is None and every["0"]["questions"] == "Own"
    assert "no questions for the task style" in every["1"]["error"]
    assert judge.bodies[0]["messages"][-1]["content"][-1]["text"] == "Is it make it 0?"
    (tmp_path / "words" / "colour.questions.txt").write_text(words + " Really?")
    assert run(tmp_path, judge, "--questions", tmp_path / "words") == 2, "other words are another run"


def test_a_judge_that_thinks_is_given_room(tmp_path, judge):
    judge.says = lambda words, pictures: "<think>" if "JSON object alone" not in words else Scripted().says(words, 1)
    assert run(tmp_path, judge, count=1) == 0
    asked, before = len(judge.bodies), judge.bodies[0]["max_tokens"]
    assert asked == 4 and judge.bodies[-1]["max_tokens"] > before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--judge-model", ""], "--judge got no model"),
        (["--questions", "none"], "--questions got none"),
        (["--passes", "0"], "--passes got 0"),
        (["--passes", "2"], "passes is 2"),
    ],
)
def test_wrong_options(tmp_path, judge, capsys, arguments, words):
    assert run(tmp_path, judge, *arguments) == 2
    assert words in capsys.readouterr().err and not judge.bodies


def test_options_of_a_judge_without_one(tmp_path, capsys):
    data, edits = data_of(tmp_path, 1)
    given = ["--protocol", "folder", "--data", data, "--edits", edits, "-o", tmp_path / "out", "--passes", "4"]
    assert main.main(["eval", *map(str, given)]) == 2
    assert "Add --judge URL" in capsys.readouterr().err


def test_questions_that_compare_give_no_scores(tmp_path, judge, capsys):
    file = tmp_path / "pairs.questions.txt"
    file.write_text("name: PVC\nreader: winner\n--- source, first, second\nWhich?")
    assert run(tmp_path, judge, "--questions", file) == 2
    assert "compares two edits" in capsys.readouterr().err
