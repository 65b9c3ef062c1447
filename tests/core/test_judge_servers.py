"""The server judge with what real servers send: answers, thoughts, refusals, loading, and photographs."""

import asyncio
import base64
import io
import json
import time
from collections import OrderedDict

import pytest
import torch
from aiohttp import web
from PIL import Image

from icedit_core import rank_images
from icedit_core.judges import Answer, JudgeUnavailable, JudgeUnreadable, asking, server
from icedit_core.judges.memory import RememberingJudge
from icedit_core.judges.pair import MOST_TOKENS, compare, read
from icedit_core.judges.server import ServerJudge
from icedit_core.judges.thoughts import taken_off

from .judge_bodies import ANSWERS, CUT, NO_COMPLETION, NOTHING, REFUSALS, chat
from .test_judges import BAD, GOOD, SOURCE, serving


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(server, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(server, "LOADING_WAIT", 0.02)
    monkeypatch.setattr(rank_images, "_answers", OrderedDict())


def run(answer, work, **options):
    """What `work(judge)` gives with a server whose replies are `answer(body)`, and the bodies that it was sent."""
    sent = []

    async def handler(request):
        sent.append(json.loads(await request.read()))
        status, body = answer(sent[-1])
        return web.json_response(body, status=status)

    async def main():
        async with serving(handler) as url:
            return await work(ServerJudge(url, "m", **{"timeout": 2.0, "retries": 1} | options))

    return asyncio.run(main()), sent


def always(body, status=200):
    return lambda _: (status, body)


async def ask(judge):
    return await judge.ask([SOURCE, GOOD], "?", MOST_TOKENS)


async def knockout(judge):
    return await rank_images.rank([SOURCE], [BAD, GOOD], "brighter", judge, both_orders=False)


@pytest.mark.parametrize("case", ANSWERS)
def test_every_servers_answer_is_understood(case):
    answer, _ = run(always(ANSWERS[case]), ask)
    assert read(answer) is not None and read(answer) < 0.5, answer


def test_probabilities_stay_where_the_first_token_is_the_answer():
    for case in ("vLLM", "end of turn left in"):
        assert 0 < read(run(always(ANSWERS[case]), ask)[0]) < 0.5


@pytest.mark.parametrize("case", CUT)
def test_a_cut_off_thought_is_no_vote_and_gets_room(case):
    def answer(body):
        return 200, chat("2") if body["max_tokens"] > 1000 else CUT[case]

    done, sent = run(answer, knockout, thought_tokens=2000)
    assert done.rankings[0].best == 1 and not done.rankings[0].notes
    assert [body["max_tokens"] for body in sent] == [MOST_TOKENS, MOST_TOKENS + 2000]


def test_room_once_needed_is_given_at_once():
    def answer(body):
        return 200, chat("2") if body["max_tokens"] > 1000 else CUT["Ollama"]

    async def three(judge):
        return await rank_images.rank([SOURCE], [BAD, GOOD, SOURCE + 0.5], "brighter", judge, both_orders=False)

    _, sent = run(answer, three)
    assert [body["max_tokens"] > 1000 for body in sent] == [False, True, True]


def test_thoughts_can_be_switched_off():
    _, sent = run(always(chat("2")), ask, thought_tokens=0)
    assert sent[0]["reasoning_effort"] == "none"
    assert sent[0]["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
    _, sent = run(always(chat("2")), ask)
    assert not {"reasoning_effort", "chat_template_kwargs"} & sent[0].keys()


@pytest.mark.parametrize("method", ["knockout", "round_robin", "score"])
@pytest.mark.parametrize("case", [*CUT, *NOTHING])
def test_a_ranking_of_unread_answers_is_an_error_and_asked_anew(case, method):
    body, shown = NOTHING.get(case, (CUT.get(case), ""))

    async def twice(judge):
        for edits in ([BAD, GOOD], [BAD, GOOD]):
            with pytest.raises(JudgeUnreadable, match="none of the answers could be read.*thought_tokens") as caught:
                await rank_images.rank([SOURCE], edits, "brighter", judge, method)
        return str(caught.value)

    said, sent = run(always(body), twice)
    assert shown in said and "the candidates are kept" in said
    assert len(sent) == 2 * (8 if method == "score" else 4)


def test_one_answer_that_is_read_makes_a_ranking():
    seen = iter(["2", "hm", "hm"])
    done, _ = run(lambda _: (200, chat(next(seen))), lambda judge: rank_three(judge))
    assert done.rankings[0].best == 1 and "answered 'hm' twice" in done.rankings[0].notes[0]


async def rank_three(judge):
    return await rank_images.rank([SOURCE], [BAD, GOOD, SOURCE], "brighter", judge, both_orders=False)


@pytest.mark.parametrize("case", NO_COMPLETION)
def test_what_is_no_completion_is_shown_with_the_usual_address(case):
    with pytest.raises(JudgeUnavailable, match="no chat completion.*usually ends in /v1"):
        run(always(NO_COMPLETION[case]), ask)


def test_a_completion_that_failed_is_tried_again():
    replies = iter([chat("1", "error"), chat("2")])
    answer, sent = run(lambda _: (200, next(replies)), ask)
    assert answer.text == "2" and len(sent) == 2
    with pytest.raises(JudgeUnavailable, match="its answer failed: overloaded.*tried 2 times"):
        run(always({"choices": [{"message": {"content": ""}, "error": {"message": "overloaded"}}]}), ask)


@pytest.mark.parametrize("case", REFUSALS)
def test_extras_that_a_server_refuses_are_left_out_from_then_on(case):
    status, body, gone = REFUSALS[case]

    def answer(sent):
        return (status, body) if gone & sent.keys() else (200, chat("2"))

    async def twice(judge):
        return await ask(judge), await ask(judge)

    (first, second), sent = run(answer, twice, thought_tokens=0)
    assert first.text == second.text == "2"
    assert [bool(gone & one.keys()) for one in sent] == [True, False, False]
    assert all(one.get("max_tokens", one.get("max_completion_tokens")) == MOST_TOKENS for one in sent)


def test_a_refusal_that_stays_ends_in_an_error():
    text = {"error": {"message": "max_tokens is too large: this model has 8 tokens"}}
    with pytest.raises(JudgeUnavailable, match="refused with 400.*too large"):
        run(always(text, 400), ask)


LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}


def test_a_loading_model_is_waited_for():
    since = time.monotonic()
    answer, sent = run(lambda _: (503, LOADING) if time.monotonic() < since + 0.5 else (200, chat("2")), ask, retries=0)
    assert answer.text == "2" and len(sent) > 3


def test_a_model_that_loads_for_ever_is_named():
    with pytest.raises(JudgeUnavailable, match="Loading model.*still loading after 0.2 s. Raise timeout"):
        run(always(LOADING, 503), ask, timeout=0.2)


def test_a_wrong_address_is_named():
    with pytest.raises(JudgeUnavailable, match="refused with 404.*usually ends in /v1"):
        run(always({"detail": "Not Found"}, 404), ask)


def test_pictures_are_sent_at_the_size_that_models_look_at():
    draw = torch.Generator().manual_seed(1)
    pictures = [torch.rand(1500, 3000, 3, generator=draw), torch.rand(20, 10, 4, generator=draw)]
    for side, sizes in ((1024, [(1024, 512), (10, 20)]), (300, [(300, 150), (10, 20)])):
        _, sent = run(always(chat("2")), lambda judge: judge.ask(pictures, "?", 8), picture_side=side)
        urls = [part["image_url"]["url"] for part in sent[0]["messages"][0]["content"][:-1]]
        shown = [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]
        assert [one.size for one in shown] == sizes
    exact = torch.frombuffer(bytearray(shown[1].tobytes()), dtype=torch.uint8).view(20, 10, 3)
    assert torch.equal(exact, (pictures[1][..., :3] * 255).round().byte())


def test_the_event_loop_is_free_while_photographs_are_made_ready():
    photograph = torch.rand(3000, 4000, 3)
    gaps = []

    async def watched(judge):
        async def watch():
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                gaps.append(time.monotonic() - before)

        watching = asyncio.ensure_future(watch())
        await compare(RememberingJudge(judge, OrderedDict()), photograph, [photograph, photograph], "x", 0, 1)
        watching.cancel()

    run(always(chat("2")), watched, timeout=60.0)
    assert max(gaps) < 1.0


def test_no_more_bodies_at_a_time_than_requests(monkeypatch):
    now, most = [], []
    real = ServerJudge._body

    def counted(*args):
        now.append(1)
        most.append(len(now))
        time.sleep(0.02)
        body = real(*args)
        now.pop()
        return body

    monkeypatch.setattr(ServerJudge, "_body", counted)

    async def many(judge):
        return await asyncio.gather(*(judge.ask([SOURCE], str(i), 4) for i in range(8)))

    run(always(chat("1")), many, parallel=2)
    assert max(most) == 2


def test_a_question_without_pictures_is_plain_text():
    _, sent = run(always(chat("2")), lambda judge: judge.ask([], "What is it?", 8))
    assert sent[0]["messages"] == [{"role": "user", "content": "What is it?"}]


@pytest.mark.parametrize(
    ("text", "said", "is_open"),
    [
        ("2", "2", False),
        ("<think>a<think>b</think>2", "2", False),
        ("a 1\n</think>\n\n2", "2", False),
        ("<think></think>\n\n<think>b", "", True),
        ("2\n<think>was that right", "2", True),
        ("<thought>1</thought>2", "2", False),
        ("<seed:think>1</seed:think>2</s>", "2", False),
        ("<|channel|>final <|constrain|>json<|message|>{}<|return|>", "{}", False),
        ("<|channel|>analysis<|message|>1<|end|><|start|>assistant<|channel|>commentary<|message|>1", "", True),
    ],
)
def test_thoughts_are_taken_off(text, said, is_open):
    assert taken_off(text) == (said, is_open)


def test_thoughts_without_end_take_no_time():
    since = time.monotonic()
    for mark in ("<think>", "</think>", "<|channel|>", "analysis", "<|start|>assistant"):
        Answer(mark * 100_000)
    assert time.monotonic() - since < 10


def test_names_tell_settings_apart():
    url = "http://127.0.0.1:1/v1"
    assert ServerJudge(url, "m").name == f"m at {url}"
    assert len({ServerJudge(url, "m", **more).name for more in ({}, {"picture_side": 512}, {"thought_tokens": 0})}) == 3


def test_a_judge_without_room_is_asked_twice_the_same_way():
    class Short:
        name, seen = "short", []

        async def ask(self, pictures, question, most_tokens):
            self.seen.append(most_tokens)
            return Answer("Okay", cut=True)

    value, _ = asyncio.run(asking.understood(Short(), [], "?", "!", 8, lambda _: None))
    assert value is None and Short.seen == [8, 8]
