"""`icedit compare` on files of known outcomes: figures, and a page that is safe and whole."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from icedit_core.cli import main
from icedit_core.evaluation import compare, outcomes, paired

from .comfy_stand_in import picture
from .test_paired import outcomes as known


class Page(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        assert not any(name.startswith("on") for name, _ in attrs)


def check_is_closed(text: str) -> None:
    """No script, nothing fetched."""
    page = Page(text)
    assert page.tags.isdisjoint({"script", "iframe", "object", "embed", "link", "form", "base", "svg"})
    assert all(re.match(r"data:image/(png|jpeg);base64,", address) for address in page.addresses)
    assert "http" not in re.sub(r"base64,[\w+/=]+|http-equiv", "", text)


def jsonl(file: Path, values: dict[str, float], **more) -> Path:
    lines = [{"row": row, "metrics": {"success": value, "l1": 1 - value}, **more} for row, value in values.items()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def run(*arguments: object) -> int:
    return main.main(["compare", *map(str, arguments)])


@pytest.mark.parametrize("points", [0, 2, 10])
def test_known_outcomes_of_600_rows(tmp_path: Path, points: int, capsys):
    a, b = known(points)
    files = [jsonl(tmp_path / f"{name}.jsonl", values) for name, values in (("a", a), ("b", b))]
    assert run(*files, "-o", tmp_path / "out", "--name", "base", "--name", "ours") == 0
    found = json.loads((tmp_path / "out" / compare.FIGURES).read_text())
    expected = paired.interval(paired.differences(a, b))
    told = found["metrics"]["success"]["runs"][1]["against_first"]
    assert told["difference"] == pytest.approx(expected._asdict())
    assert told["wins"]["better"] - told["wins"]["worse"] == 6 * points
    errors = found["metrics"]["l1"]["runs"][1]["against_first"]
    assert errors["wins"] == told["wins"] and errors["difference"]["mean"] == pytest.approx(-expected.mean)
    assert f"success: ours {expected.mean:+.4g}" in capsys.readouterr().out
    check_is_closed((tmp_path / "out" / compare.PAGE).read_text(encoding="utf-8"))


def test_folders_of_runs_are_laid_side_by_side_and_words_stay_words(tmp_path: Path):
    for name, failed in (("first", False), ("second", True), ("third", False)):
        folder = tmp_path / name
        (folder / "pictures").mkdir(parents=True)
        (folder / "pictures" / "1.png").write_bytes(picture())
        (folder / "secret.png").write_bytes(picture())
        lines = [
            {"icedit": "batch", "workflow": "w"},
            {"row": "1", "instruction": "<script>alert(1)</script>", "files": ["pictures/1.png"], "seconds": 1.5},
            {"row": "2", "instruction": "x", "files": ["../first/secret.png"], "seconds": 2, "error": "<b>" * failed},
        ]
        (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    folders = [tmp_path / name for name in ("first", "second", "third")]
    assert run(*folders, "-o", tmp_path / "out") == 0
    text = (tmp_path / "out" / compare.PAGE).read_text(encoding="utf-8")
    check_is_closed(text)
    assert "&lt;script&gt;alert(1)" in text and "second: &lt;b&gt;" in text
    assert text.count("data:image/jpeg") == 3 + 1, "a picture of another run's folder is not shown; its own is"
    found = json.loads((tmp_path / "out" / compare.FIGURES).read_text())
    assert [told["failed"] for told in found["runs"]] == [0, 1, 0]
    assert found["metrics"]["seconds"]["strengths"] == pytest.approx([0, 0, 0])
    assert found["metrics"]["seconds"]["higher_is_better"] is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ('{"row": "1"}\n{"row": "1"}\n', "there twice"),
        ('{"x": 1}\n', "has no row"),
        ("nonsense\n", "line 1 is no JSON"),
        ('{"row": "other", "x": 1}\n', "shares no row"),
    ],
)
def test_files_that_cannot_be_compared(tmp_path: Path, capsys, text: str, words: str):
    good = jsonl(tmp_path / "good.jsonl", {"1": 0.5})
    (tmp_path / "bad.jsonl").write_text(text)
    assert run(good, tmp_path / "bad.jsonl", "-o", tmp_path / "out") == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_one_run_or_other_names_are_refused(tmp_path: Path, capsys):
    good = jsonl(tmp_path / "good.jsonl", {"1": 0.5})
    assert run(good, "-o", tmp_path / "out") == 2 and "two or more are compared" in capsys.readouterr().err
    assert run(good, good, "-o", tmp_path / "out", "--name", "x") == 2
    assert run(good, tmp_path / "none", "-o", tmp_path / "out") == 2


def test_numbers_that_are_none_are_left_out(tmp_path: Path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"row": "1", "a": NaN, "b": 1, "c": "2", "d": true, "seed": 7}\n')
    assert outcomes.read(file).rows["1"].numbers == {"b": 1.0, "d": 1.0}
