"""Judges: the question, reading answers, position bias, memory, and a server that fails in every way."""

import asyncio
import base64
import io
import json
import math
from collections import OrderedDict
from contextlib import asynccontextmanager

import pytest
import torch
from aiohttp import web
from PIL import Image

from icedit_core import rank_images
from icedit_core.judges import Answer, JudgeUnavailable
from icedit_core.judges import server as judge_server
from icedit_core.judges.memory import RememberingJudge
from icedit_core.judges.pair import QUESTION, REMINDER, compare, read
from icedit_core.judges.server import ServerJudge

SOURCE = torch.zeros(4, 4, 3)
GOOD, BAD = torch.full((4, 4, 3), 0.8), torch.full((4, 4, 3), 0.2)


class Scripted:
    """Prefers the brighter picture, or answers from a list."""

    name = "scripted"

    def __init__(self, answers=None):
        self.answers, self.seen = answers, []

    async def ask(self, pictures, question, most_tokens):
        self.seen.append((pictures, question))
        if self.answers is not None:
            return Answer(self.answers[(len(self.seen) - 1) % len(self.answers)])
        return Answer("1" if pictures[1].mean() > pictures[2].mean() else "2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1"),
        (" 2.", "2"),
        ("**2**", "2"),
        ("(2)", "2"),
        ("\\boxed{2}", "2"),
        ('{"answer": 2}', "2"),
        ("<answer>2</answer>", "2"),
        ("Edit 1 is better", "1"),
        ("The better edit is 2", "2"),
        ("The better edit is **2**.", "2"),
        ("Answer: Edit 2", "2"),
        ("\u7b54\u6848\uff1a2", "2"),
        ("1 because it is 1", "1"),
        ("2\n\nEdit 2 keeps 1 hat.", "2"),
        ("Both changed the hat.\n\nAnswer: 2", "2"),
        ("1 or 2", None),
        ("1\n2", None),
        ("1/2", None),
        ("-1", None),
        ("neither", None),
        ("", None),
        ("12", None),
        ("Answer: 1.5", None),
        ("1. The hat is red\n2. The hat is blue", None),
        ("Edit 1\nhas a hat.\nEdit 2\nhas none.", None),
        ("At most 1 image(s) may be provided in one request.", None),
        ("2 edits were given", None),
        ("Error 1", None),
        ("Edit 2 is not better", None),
        ("not 1", None),
        ("picture 2", None),  # the second picture is edit 1
        ("Okay, edit 1 has", None),
    ],
)
def test_only_an_answer_alone_is_read(text, expected):
    assert read(Answer(text)) == {"1": 1.0, "2": 0.0, None: None}[expected]


def test_an_answer_that_was_cut_off_inside_lines_is_none():
    assert read(Answer("The better edit is 2", cut=True)) == 0.0
    assert read(Answer("Let me compare.\n\nEdit 1", cut=True)) is None


def test_first_token_probabilities_count_where_that_token_is_the_answer():
    assert read(Answer("1", {"1": 0.6, " 1": 0.1, "2": 0.2, "The": 0.1})) == pytest.approx(0.7 / 0.9)
    assert read(Answer("2", {"The": 0.9, "A": 0.1})) == 0.0
    assert read(Answer("The better edit is 2", {"The": 0.93, "1": 0.03, "Edit": 0.02, "2": 0.004})) == 0.0
    assert read(Answer("**2**", {"**": 0.97, "1": 0.012, "2": 0.006})) == 0.0
    assert read(Answer("not sure", {"1": 0.6, "2": 0.4})) is None
    assert read(Answer("<think>1 is worse</think>2", {"2": 0.3, "1": 0.1})) == 0.0


def duel(judge, **options):
    return asyncio.run(compare(judge, SOURCE, [BAD, GOOD], "make it bright", 0, 1, **options))


def test_both_orders_are_asked_with_the_source_first():
    judge = Scripted()
    result = duel(judge)
    assert result.p_first == 0.0 and not result.tie
    shown = [[float(picture.mean()) for picture in pictures] for pictures, _ in judge.seen]
    assert shown == [pytest.approx([0, 0.2, 0.8]), pytest.approx([0, 0.8, 0.2])]
    assert all(question == QUESTION.format(instruction="make it bright") for _, question in judge.seen)
    assert len(Scripted().seen) == 0 and len(judge.seen) == 2
    once = Scripted()
    duel(once, both_orders=False)
    assert len(once.seen) == 1


@pytest.mark.parametrize("answer", ["1", "2"])
def test_a_judge_that_prefers_a_position_calls_a_tie_and_it_is_said(answer):
    result = duel(Scripted([answer]))
    assert result.tie and "followed the position" in result.notes[0]


def test_an_unreadable_answer_is_asked_once_more_then_a_tie():
    recovers = Scripted(["hm", "1"])
    assert duel(recovers, both_orders=False).p_first == 1.0 and len(recovers.seen) == 2
    mumbles = Scripted(["hm"])
    result = duel(RememberingJudge(mumbles, OrderedDict()), both_orders=False)
    assert result.tie and not result.understood
    assert len(mumbles.seen) == 2 and "'hm' twice instead of 1 or 2" in result.notes[0]
    assert mumbles.seen[1][1] == mumbles.seen[0][1] + REMINDER


def test_verdicts_are_remembered_by_picture_words_and_judge():
    answers = OrderedDict()
    judge = Scripted()

    async def ask(picture, words, name="scripted"):
        judge.name = name
        return await RememberingJudge(judge, answers).ask([SOURCE, picture, BAD], words, 8)

    async def all_of_it():
        for args in ((GOOD, "a"), (GOOD.clone(), "a"), (GOOD, "b"), (BAD, "a"), (GOOD, "a", "another")):
            await ask(*args)

    asyncio.run(all_of_it())
    assert len(judge.seen) == 4


def test_a_photograph_is_made_small_once_for_the_size_that_the_judge_looks_at():
    judge, answers = Scripted(), OrderedDict()
    judge.picture_side = 50
    photograph = torch.rand(100, 200, 3)

    async def twice(remembering):
        for words in "ab":
            await remembering.ask([photograph, GOOD, BAD], words, 8)

    remembering = RememberingJudge(judge, answers)
    asyncio.run(twice(remembering))
    (first, second) = (pictures for pictures, _ in judge.seen)
    assert first[0].shape == (25, 50, 3) and first[0] is second[0] and first[1] is GOOD
    judge.picture_side = 60
    asyncio.run(twice(RememberingJudge(judge, answers)))
    assert len(judge.seen) == 4, "another size is another picture"
    remembering.forget()
    asyncio.run(twice(RememberingJudge(judge, answers)))
    assert len(judge.seen) == 4, "what others were told stays"
    judge.picture_side = 50
    asyncio.run(twice(RememberingJudge(judge, answers)))
    assert len(judge.seen) == 6


def test_ranking_of_pictures_reports_orders_and_draws():
    sources = [SOURCE, SOURCE]
    edits = [BAD, GOOD, torch.full((4, 4, 3), 0.5), BAD, GOOD, BAD]  # edit i of source i % 2
    judge = Scripted()
    done = asyncio.run(rank_images.rank(sources, edits, "brighter", judge, "round_robin"))
    assert [ranking.best for ranking in done.rankings] == [2, 0]
    assert torch.equal(done.best, torch.stack([GOOD, GOOD]))
    assert "Source 0: best is candidate 2 (round_robin)" in done.report and "questions to scripted" in done.report
    assert done.sheet.shape[0] == 1 and done.sheet.shape[3] == 3 and float(done.sheet.std()) > 0.05
    asked = len(judge.seen)
    asyncio.run(rank_images.rank(sources, edits, "brighter", judge, "round_robin"))
    assert len(judge.seen) == asked


@pytest.mark.parametrize(
    ("sources", "edits", "words", "error"),
    [
        ([SOURCE], [], "x", "0 candidates for 1 sources"),
        ([SOURCE] * 2, [GOOD] * 3, "x", "3 candidates for 2 sources"),
        ([SOURCE], [GOOD], " ", "the instruction is empty"),
        ([SOURCE] * 2, [GOOD, GOOD[:2]], "x", "one batch needs one shape"),
        ([SOURCE] * 3, [GOOD] * 3, ["x", "y"], "2 instructions for 3 sources"),
        ([SOURCE] * 2, [GOOD] * 2, ["x", " "], "the instruction is empty"),
    ],
)
def test_what_cannot_be_ranked_is_refused(sources, edits, words, error):
    with pytest.raises(ValueError, match=error):
        asyncio.run(rank_images.rank(sources, edits, words, Scripted()))


@asynccontextmanager
async def serving(handler):
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
    finally:
        await runner.cleanup()


def completion(text, top=None):
    choice = {"message": {"role": "assistant", "content": text}}
    if top:
        logs = [{"token": token, "logprob": math.log(p)} for token, p in top.items()]
        choice["logprobs"] = {"content": [{"token": text, "top_logprobs": logs}]}
    return web.json_response({"choices": [choice]})


def asked(handler, **options):
    async def main():
        async with serving(handler) as url:
            return await ServerJudge(url, "tiny", **{"timeout": 2.0, "retries": 1} | options).ask(
                [SOURCE, GOOD], "?", 4
            )

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(judge_server, "FIRST_WAIT", 0.01)


def test_what_goes_out_and_what_comes_back(monkeypatch):
    monkeypatch.setenv("ICEDIT_JUDGE_KEY", "secret")
    bodies, headers = [], []

    async def handler(request):
        bodies.append(await request.json())
        headers.append(request.headers.get("Authorization"))
        return completion("1", {"1": 0.75, "2": 0.25})

    answer = asked(handler, key_variable="ICEDIT_JUDGE_KEY")
    assert answer.text == "1" and answer.probabilities == pytest.approx({"1": 0.75, "2": 0.25})
    (body,) = bodies
    assert headers == ["Bearer secret"]
    assert (body["model"], body["temperature"], body["max_tokens"], body["logprobs"]) == ("tiny", 0, 4, True)
    *pictures, words = body["messages"][0]["content"]
    assert words == {"type": "text", "text": "?"}
    shown = [base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,")) for part in pictures]
    assert [Image.open(io.BytesIO(data)).getpixel((0, 0)) for data in shown] == [(0, 0, 0), (204, 204, 204)]


def test_a_passing_fault_is_tried_again():
    calls = []

    async def handler(request):
        calls.append(1)
        return completion("2") if len(calls) > 1 else web.Response(status=503, text="busy")

    assert asked(handler).text == "2"


async def _slow(request):
    await asyncio.sleep(30)


async def _closes(request):
    request.transport.close()
    await asyncio.sleep(30)


async def _half(request):
    reply = web.StreamResponse(headers={"Content-Length": "1000"})
    await reply.prepare(request)
    await reply.write(b'{"choices": [')
    request.transport.close()
    return reply


def _says(status, text):
    async def handler(request):
        return web.Response(status=status, text=text)

    return handler


FAULTS = {
    "slow": (_slow, "gave no answer within 0.2 s.*tried 2 times"),
    "closes": (_closes, "cannot be reached or broke off.*tried 2 times"),
    "half an answer": (_half, "cannot be reached or broke off"),
    "500": (_says(500, "oops"), "answered 500: oops.*tried 2 times"),
    "refuses pictures": (_says(400, "no images"), "refused with 400: no images"),
    "redirect": (_says(302, ""), "refused with 302"),
    "garbage": (_says(200, "<html>"), "no chat completion: '<html>'"),
    "wrong json": (_says(200, json.dumps({"choices": []})), "no chat completion"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_end_in_an_error_that_names_the_remedy(fault):
    handler, words = FAULTS[fault]
    with pytest.raises(JudgeUnavailable, match=words) as caught:
        asked(handler, timeout=0.2)
    assert "tiny at http://127.0.0.1" in str(caught.value) and "the candidates are kept" in str(caught.value)


def test_a_server_that_is_not_there():
    with pytest.raises(JudgeUnavailable, match="cannot be reached.*tried 2 times"):
        asyncio.run(ServerJudge("http://127.0.0.1:9/v1", "tiny", retries=1).ask([SOURCE], "?", 4))


def test_no_more_requests_at_a_time_than_allowed():
    now, most = [], []

    async def handler(request):
        now.append(1)
        most.append(len(now))
        await asyncio.sleep(0.02)
        now.pop()
        return completion("1")

    async def main():
        async with serving(handler) as url:
            judge = ServerJudge(url, "tiny", parallel=2)
            await asyncio.gather(*(judge.ask([SOURCE], str(i), 4) for i in range(8)))

    asyncio.run(main())
    assert max(most) == 2


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:8/v1", "https://127.9.9.9"]
)
def test_this_machine_is_allowed(url):
    assert ServerJudge(url, "m").name == f"m at {url}"


@pytest.mark.parametrize("url", ["http://example.com/v1", "http://10.0.0.1/v1", "http://127.0.0.1.example.com/v1"])
def test_other_hosts_only_by_the_owner(url, monkeypatch):
    with pytest.raises(ValueError, match="is not this machine.*ICEDIT_JUDGE_HOSTS="):
        ServerJudge(url, "m")
    monkeypatch.setenv("ICEDIT_JUDGE_HOSTS", "example.com, 10.0.0.1,127.0.0.1.example.com")
    ServerJudge(url, "m")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://127.0.0.1"}, "but one like http"),
        ({"url": "http://me:secret@127.0.0.1/v1"}, "secrets do not belong"),
        ({"key_variable": "AWS_SECRET_ACCESS_KEY"}, "must begin with ICEDIT_JUDGE_"),
        ({"key_variable": "ICEDIT_JUDGE_HOSTS"}, "must begin with ICEDIT_JUDGE_"),
        ({"key_variable": "ICEDIT_JUDGE_NOT_SET"}, "is not set"),
    ],
)
def test_secrets_and_addresses_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words) as caught:
        ServerJudge(**{"url": "http://127.0.0.1/v1", "model": "m"} | options)
    assert "secret@" not in str(caught.value)
