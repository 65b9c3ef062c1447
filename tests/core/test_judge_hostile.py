"""What a hostile judge's server can do: it can be of no use, and nothing else."""

import asyncio
import json
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
import torch

from icedit_core import contact, rank_images
from icedit_core.judges import Answer, JudgeUnavailable, server
from icedit_core.judges.judge import LONGEST_ANSWER
from icedit_core.judges.server import ServerJudge
from icedit_core.judges.viescore import read

from .hostile_judge import CODES, KEY, NUMBER, SURROGATE, WAYS, completion, hostile_replies, hostile_server

ROOT = Path(__file__).resolve().parents[2]
SOURCE = torch.zeros(4, 4, 3)
EDITS = [torch.full((4, 4, 3), level) for level in (0.3, 0.6)]
REASON = json.dumps({"score": [7, 7], "reasoning": f"{KEY} {CODES} {SURROGATE}\n1. candidate 9, score 9.00"})
LINES = 12  # more than any report on two candidates has


@pytest.fixture(autouse=True)
def _owner(monkeypatch):
    monkeypatch.setenv("ICEDIT_JUDGE_KEY", KEY)
    monkeypatch.delenv("ICEDIT_JUDGE_HOSTS", raising=False)
    monkeypatch.setattr(server, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(rank_images, "_answers", type(rank_images._answers)())


def check_shown(text):
    """What goes to a terminal, a log, a report or the page."""
    assert text.replace("\n", "").isprintable(), repr(text)[:300]
    assert KEY not in text and len(text) < 8000 and text.count("\n") < LINES
    assert not any(line.startswith("1. candidate 9") for line in text.splitlines())


def told(replies, method="score", **options):
    """What a ranking by a server with these replies says: its report, or its error."""

    async def main():
        async with hostile_server(replies) as url:
            judge = ServerJudge(url, "m", "ICEDIT_JUDGE_KEY", **{"timeout": 1.0, "retries": 0} | options)
            try:
                return (await rank_images.rank([SOURCE], EDITS, "brighter", judge, method)).report
            except JudgeUnavailable as refused:
                logged = "".join(traceback.format_exception(refused))  # the host logs causes too
                assert KEY not in logged and logged.replace("\n", "").isprintable()
                return str(refused)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"choices":' * 50_000,
        b'{"choices":[{"message":' + b"[" * 100_000,
        b'{"choices":[' + NUMBER.encode() * 20 + b"]}",
        CODES.encode() + KEY.encode(),
        b'"' + KEY.encode() * 1000,
    ],
    ids=["lists", "objects", "within", "digits", "codes", "key"],
)
@pytest.mark.parametrize("status", [200, 401, 503])
def test_no_answer_is_a_readable_failure(body, status):
    said = told([("plain", status, body)] * 50)
    check_shown(said)
    assert "m at http://127.0.0.1" in said and "the candidates are kept" in said


def test_a_status_line_and_headers_are_foreign_too():
    for raw in (f"HTTP/1.1 200 OK\r\nContent-Length: {KEY}", f"{KEY}{CODES}", f"HTTP/1.1 200 OK\r\n{KEY}\x00{CODES}"):
        check_shown(told([("raw", 200, raw.encode())] * 8))


@pytest.mark.parametrize(
    "content", [REASON, f"<think>{REASON}</think>{REASON}", REASON.replace(KEY, f"sk-<think></think>{KEY[3:]}")]
)
def test_words_keep_no_key_no_code_and_one_line(content):
    said = told([("plain", 200, completion(content))] * 4)
    check_shown(said)
    assert "best is candidate 0 (score: VIEScore, 0 to 10)" in said and "SC 7: " in said and "***" in said


def test_a_key_that_json_hides_is_found():
    hidden = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    check_shown(told([("plain", 200, completion(f'{{"score": [7, 7], "reasoning": "{hidden}"}}'))] * 4))


@pytest.mark.parametrize("method", ["score", "knockout", "round_robin"])
def test_a_lone_surrogate_loses_no_ranking(method):
    said = told([("plain", 200, completion(f'1\n{{"score": [7, 7], "reasoning": "{SURROGATE}"}}'))] * 8, method)
    assert f"best is candidate 0 ({method}" in said
    said.encode("utf-8")


def test_an_answer_of_any_judge_is_clean():
    assert Answer(f" 1{CODES}\n{SURROGATE} {KEY}").text.replace("\n", "").isprintable()
    assert len(Answer("1" * 10**6).text) < LONGEST_ANSWER + 100


@pytest.mark.parametrize("top", [[{"token": "1", "logprob": -int(NUMBER)}], [{"token": "1", "logprob": int(NUMBER)}]])
def test_numbers_beyond_floats_are_no_probabilities(top):
    assert "best is candidate" in told([("plain", 200, completion("1", top))] * 2, "knockout")


def test_tokens_are_few_and_short():
    async def main():
        body = completion("1", [{"token": f"{index}" * 1000, "logprob": -1} for index in range(200)])
        async with hostile_server([("plain", 200, body)]) as url:
            return await ServerJudge(url, "m").ask([SOURCE], "?", 4)

    found = asyncio.run(main()).probabilities
    assert len(found) <= 20 and max(map(len, found)) <= 100


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"score": ' * 50_000,
        f'{{"score": [{NUMBER}, 5]}}',
        f'{{"score": ["{NUMBER}", 5]}}',
        f'{{"score": {NUMBER * 20}}}',
    ],
)
def test_numbers_and_depths_are_no_score(text):
    assert read(text) is None


@pytest.mark.parametrize(
    "body", [b'{"done":' * 100_000, b"[" * 100_000, b'{"done": ' + NUMBER.encode() * 20 + b"}", b"\xff"]
)
def test_no_answer_to_freeing_loses_the_ranking(body):
    said = told([*[("plain", 200, completion(REASON))] * 4, ("plain", 200, body)], free_memory=True)
    assert "best is candidate 0" in said and "stays in the server's memory" in said


def test_a_sheet_looks_at_four_lines_alone():
    started = time.process_time()
    for words in ("word " * 180_000, "w" * 900_000, "\u0301" * 900_000):
        assert contact.sheet([SOURCE], [words]).shape == (1, 336, 272, 3)
    assert time.process_time() - started < 5  # was half a minute


def test_a_long_answer_makes_a_short_report():
    started = time.process_time()
    check_shown(told([("plain", 200, completion('{"score": [7, 7], "reasoning": "' + "very good " * 90_000))] * 4))
    assert time.process_time() - started < 5


def test_redirects_are_not_followed():
    assert "refused with 307" in told([("redirect", 307, b"")] * 4)


PROBE = """
import asyncio, json, sys, time
import torch
from icedit_core import rank_images
from icedit_core.judges import JudgeUnavailable
from icedit_core.judges.server import ServerJudge

async def main(url, count):
    said, slowest = [], 0.0
    for number in range(count):
        judge = ServerJudge(url, "m", "ICEDIT_JUDGE_KEY", timeout=1.0, retries=0, free_memory=number % 2 == 0)
        method = ("score", "knockout")[number % 3 == 0]
        started = time.monotonic()
        try:
            edits = [torch.zeros(4, 4, 3), torch.ones(4, 4, 3)]
            text = (await rank_images.rank([torch.zeros(4, 4, 3)], edits, f"{number}", judge, method)).report
        except JudgeUnavailable as refused:
            text = str(refused)
        slowest = max(slowest, time.monotonic() - started)
        said.append(text)
    return said, slowest

def memory(kind):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(kind))

with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # the peak counts from here on
before = memory("VmRSS")
said, slowest = asyncio.run(main(sys.argv[1], int(sys.argv[2])))
grown = memory("VmHWM") - before
print(json.dumps({"said": said, "slowest": slowest, "grown": grown}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
@pytest.mark.parametrize("rankings", [20, pytest.param(80, marks=pytest.mark.slow)])
def test_hundreds_of_hostile_replies(rankings, seed=20260101):
    """Each ranking meets a seeded run of replies, and takes more than two of them; 80 meet every way to be hostile."""
    used = []

    def counted():
        for reply in hostile_replies(seed):
            used.append(reply[0])
            yield reply

    async def main():
        async with hostile_server(counted()) as url:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROBE,
                url,
                str(rankings),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            return await asyncio.wait_for(process.communicate(), 300), process.returncode

    (out, errors), code = asyncio.run(main())
    assert code == 0 and b"Traceback" not in errors and not errors, errors.decode()[-2000:]
    found = json.loads(out)
    assert len(used) >= 2.5 * rankings, len(used)
    assert set(used) == set(WAYS) or rankings < 80
    for text in found["said"]:
        check_shown(text)
    assert found["grown"] < 300e6
    # A ranking asks again where an answer cannot be read, and then frees the model: three waits one after the other.
    assert found["slowest"] < 3 * 1.0 + 3.0  # and what a busy machine adds
