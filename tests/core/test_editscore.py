"""EditScore asked as the package asks: its requests, what it reads, and "unreadable" where it guesses."""

import asyncio
import json
import math
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from icedit_core import rank_images
from icedit_core.judges import Answer, JudgeUnreadable
from icedit_core.judges.asked import EditScore, of
from icedit_core.judges.asked.editscore import MOST_TOKENS
from icedit_core.judges.extras import extras, refused
from icedit_core.judges.judge import Manner
from icedit_core.judges.memory import RememberingJudge
from icedit_core.judges.message import turns
from icedit_core.judges.transformers_judge import _settings

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "editscore_answers.json").read_text())
WORDS, OTHER = FIXTURE["instruction"], FIXTURE["other_half"]
SOURCE, EDIT = torch.zeros(4, 4, 3), torch.ones(4, 4, 3)


class Scripted:
    """`answers`: half -> an answer for every pass, or one a pass."""

    name = "scripted"

    def __init__(self, passes=1, **answers):
        self.questions = EditScore(passes)
        self.answers, self.asked = answers, []

    async def ask(self, pictures, question, most_tokens, manner):
        self.asked.append((pictures, question, most_tokens, manner))
        answer = self.answers["SC" if len(pictures) == 2 else "PQ"]
        return Answer(answer if isinstance(answer, str) else answer[manner.seed - 42])


def scored(judge):
    return asyncio.run(of(judge).score(judge, SOURCE, EDIT, WORDS))


@pytest.mark.parametrize("passes", [1, 4])
def test_the_requests_are_those_of_the_package(passes):
    judge = Scripted(passes, SC=OTHER, PQ=OTHER)
    scored(judge)
    names = {id(SOURCE): "source", id(EDIT): "edit"}
    sent = [([names[id(one)] for one in shown], words, manner.seed) for shown, words, _, manner in judge.asked]
    wanted = [(one["pictures"], one["text"], one["seed"]) for one in FIXTURE["requests"]][: 2 * passes]
    assert sorted(sent) == sorted(wanted)
    sampling = FIXTURE["sampling"]
    for _, _, most, manner in judge.asked:
        assert most == sampling["max_new_tokens"] and manner.draws and not manner.system and not manner.numbered
        assert (manner.temperature, manner.top_p, manner.top_k) == tuple(
            sampling[name] for name in ("temperature", "top_p", "top_k")
        )


@pytest.mark.parametrize("row", FIXTURE["answers"], ids=lambda row: f"{row['half']} {row['answer'][:40]!r}")
def test_an_answer_is_read_as_the_package_reads_it_or_not_at_all(row):
    result = scored(Scripted(**{"SC": OTHER, "PQ": OTHER, row["half"]: row["answer"]}))
    package = row["package"]
    if package.get("overall", 11) <= 10:
        assert result.overall == pytest.approx(package["overall"], abs=1e-12)
        assert result.pq == pytest.approx(package["perceptual_quality"], abs=1e-12)
        assert result.sc == pytest.approx(min(package["prompt_following"], package["consistency"]), abs=1e-12)
        assert f"{package['prompt_following']:.1f}, consistency {package['consistency']:.1f}" in result.reason
        assert result.notes == ()
    else:  # a guess, an exception, or a number beyond the scale
        assert math.isnan(result.overall) and result.reason == "unreadable"
        assert f"no {row['half']} in pass 1" in result.notes[0]


def test_most_of_the_answers_are_readable_and_the_others_are_of_every_kind():
    kinds = [next(iter(row["package"])) for row in FIXTURE["answers"]]
    assert len(kinds) == 50 and kinds.count("prompt_following") == 35
    assert kinds.count("guesses") == 7 and kinds.count("raises") == 8


@pytest.mark.parametrize("row", FIXTURE["four_passes"])
def test_four_passes_are_averaged_at_the_end(row):
    result, package = scored(Scripted(4, SC=row["sc"], PQ=row["pq"])), row["package"]
    assert result.overall == pytest.approx(package["overall"], abs=1e-12)
    assert result.pq == pytest.approx(package["perceptual_quality"], abs=1e-12)


def test_an_unreadable_pass_is_said_and_the_others_count():
    good = '{"reasoning": "x", "score": [20, 25]}'
    result = scored(Scripted(4, SC=[good, "hm", good, good], PQ=OTHER))
    assert result.overall == pytest.approx(math.sqrt(8 * 10))
    assert "'hm'" in result.notes[0] and "no SC in pass 2" in result.notes[0]
    assert result.notes[1] == "1 of 4 passes unreadable: the mean is of the others"


def test_long_reasons_before_the_numbers_do_not_hide_them():
    text = json.dumps({"reasoning": "so much to say, " * 200, "score": [20, 15]})
    assert scored(Scripted(SC=text, PQ=OTHER)).sc == 6


def test_passes_are_remembered_apart():
    judge = Scripted(4, SC=OTHER, PQ=OTHER)
    remembering = RememberingJudge(judge, OrderedDict())
    for _ in range(2):
        asyncio.run(of(remembering).score(remembering, SOURCE, EDIT, WORDS))
    assert len(judge.asked) == 8


@pytest.mark.parametrize("method", ["score", "knockout"])
def test_a_ranking_names_the_set_and_its_scale(method):
    judge = Scripted(4, SC=OTHER, PQ=OTHER)
    done = asyncio.run(rank_images.rank([SOURCE], [EDIT, SOURCE + 0.5], f"{WORDS} {method}", judge, method))
    assert done.report.startswith("best is candidate 0 (score: EditScore, mean of 4 passes, 0 to 10)")
    said = "note: EditScore, mean of 4 passes rates each candidate by itself, so knockout was not used"
    assert (said in done.report) == (method == "knockout")
    assert not done.regions.any()


def test_no_order_is_made_of_answers_that_cannot_be_read():
    with pytest.raises(JudgeUnreadable, match="none of the answers could be read"):
        asyncio.run(rank_images.rank([SOURCE], [EDIT], "unread", Scripted(SC="hm", PQ="hm"), "score"))


def test_a_server_gets_the_sampling_and_keeps_it():
    manner = EditScore().manner(2)
    fields = extras(MOST_TOKENS, True, {"temperature", "logprobs"}, manner)
    assert fields == {"max_tokens": 512, "temperature": 0.7, "top_p": 0.9, "top_k": 20, "seed": 44}
    assert refused(400, "temperature is not supported", fields) == set()


def test_a_numbered_picture_is_announced_as_for_qwen25():
    first, second = {"type": "image", "image": 1}, {"type": "image", "image": 2}
    (turn,) = turns([first, second], "Q", Manner(numbered=True))
    text = [{"type": "text", "text": f"<img{number}>: "} for number in (1, 2)]
    assert turn == {"role": "user", "content": [text[0], first, text[1], second, {"type": "text", "text": "Q"}]}


def test_generation_settings_are_those_of_the_package():
    class Model:
        class generation_config:  # noqa: N801
            eos_token_id, pad_token_id, repetition_penalty, top_k, temperature = 1, 0, 1.05, 3, 0.1

    made = _settings(Model, MOST_TOKENS, EditScore().manner(0)).to_dict()
    assert {name: made[name] for name in FIXTURE["sampling"]} == FIXTURE["sampling"]
    assert made["repetition_penalty"] == 1.05, "the package leaves the model's own"
    assert _settings(Model, 8, Manner()).repetition_penalty == 1.0
