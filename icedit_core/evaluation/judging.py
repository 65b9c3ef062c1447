"""What a judge makes of every edit of a run: one record a row, with how it was asked; a stopped run goes on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import foreign
from ..batch.records import NAME, Records, read
from ..batch.rows import Broken
from ..judges import Answer, Judge, JudgeUnavailable
from ..judges.asked import QuestionSet, Scoring
from ..judges.judge import PLAIN, Manner
from ..training.data.rows import BrokenRow
from .items import Item
from .metrics.pair import sized, tensor

FOLDER = "judged"  # below the run's
AT_ONCE = 4  # rows
MOST_LOST = 3  # rows in turn without a judge; then it is gone
SAME = ("icedit", "judge", "questions")
Opened = Callable[[Item], Any]
"""The source and the edit of an item, as RGB pictures; raises BrokenRow where there is no edit."""


class JudgeGone(Exception):
    """Several rows in turn had no answer."""


@dataclass(frozen=True)
class Asked:
    """A judge and its question sets.

    Attributes:
        sets: task -> question set; "" is for every task that is not named.
        learned: whether the judge thinks before it answers, once an answer has shown it.
    """

    judge: Judge
    sets: Mapping[str, QuestionSet]
    learned: dict[str, bool] = field(default_factory=dict)

    def of(self, task: str) -> QuestionSet | None:
        return self.sets.get(task, self.sets.get(""))

    def head(self) -> dict[str, Any]:
        """What all records share."""
        sets = {task or "all": f"{one.name}, {one.scale}{_words(one)}" for task, one in sorted(self.sets.items())}
        return {"icedit": "judged", "version": 1, "judge": self.judge.name, "questions": sets}


@dataclass
class Listening:
    """A judge that remembers how it was asked about one edit."""

    judge: Judge
    instruction: str
    learned: dict[str, bool]
    asked: list[tuple[str, Manner]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thought_tokens = getattr(self.judge, "thought_tokens", 0)

    @property
    def thinks(self) -> bool:
        return self.learned.get("thinks", False)

    @thinks.setter
    def thinks(self, value: bool) -> None:
        self.learned["thinks"] = value

    @property
    def name(self) -> str:
        return self.judge.name

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int, manner: Manner = PLAIN) -> Answer:
        self.asked.append((question, manner))
        return await self.judge.ask(pictures, question, most_tokens, manner)

    def facts(self) -> dict[str, Any]:
        """Seeds, how often each question was asked, and hashes of the prompts with and without the row's own words.

        A question that was put again in other words, because its answer could not be read, counts for the first hash.
        """
        manners = {(one.temperature, one.top_p, one.top_k) for _, one in self.asked}
        questions = {question for question, _ in self.asked}
        plain = [one for one in questions if not any(one != other and one.startswith(other) for other in questions)]
        return {
            "passes": max((len({m.seed for q, m in self.asked if q == one}) for one in questions), default=0),
            "seeds": sorted({one.seed for _, one in self.asked}),
            "sampling": [{"temperature": t, "top_p": p, "top_k": k} for t, p, k in sorted(manners)],
            "prompt_sha256": _hash(sorted((question, one.system, one.numbered) for question, one in self.asked)),
            "questions_sha256": _hash(sorted(one.replace(self.instruction, "<instruction>") for one in plain)),
        }


def judge_all(
    items: Iterable[Item | Broken], opened: Opened, asked: Asked, out: Path, say: Callable[[str], None]
) -> tuple[dict[str, dict[str, Any]], str]:
    """Ask about every edit that has no record yet; rows that had no answer are asked about again.

    Returns:
        row -> its record; and why the judge was given up, or "".
    Raises:
        ValueError: the records are of another judge or other questions.
    """
    folder = out / FOLDER
    stopped = ""
    with Records(folder, "icedit eval") as kept:
        done = kept.begin(asked.head(), SAME, redo_errors=True)
        left = (item for item in items if isinstance(item, Item) and item.key not in done)
        try:
            asyncio.run(_ask_all(left, opened, asked, kept, say))
        except JudgeGone as problem:
            stopped = str(problem)
    return {str(record["row"]): record for record in read(folder / NAME)[1]}, stopped


async def _ask_all(
    items: Iterable[Item], opened: Opened, asked: Asked, kept: Records, say: Callable[[str], None]
) -> None:
    lost = 0
    every = iter(items)
    while rows := list(islice(every, AT_ONCE)):  # few at a time: their pictures are in memory
        for record in await asyncio.gather(*(_record(item, opened, asked) for item in rows)):
            if record is None:  # there is no edit, which its own record says
                continue
            kept.add(record)
            if record["error"]:
                say(f"{foreign.line(record['row'])}: {foreign.line(record['error'], 500)}")
            lost = lost + 1 if record.get("unavailable") else 0
            if lost >= MOST_LOST:
                raise JudgeGone(f"the judge gave no answer for {lost} rows in turn: {record['error']}")


async def _record(item: Item, opened: Opened, asked: Asked) -> dict[str, Any] | None:
    try:
        source, edit = opened(item)
    except BrokenRow:
        return None
    found: dict[str, Any] = {"row": item.key, "judge": asked.judge.name, "error": None}
    questions = asked.of(item.task)
    if questions is None:
        return found | {"error": f"there are no questions for the task {foreign.line(item.task)}"}
    listening = Listening(asked.judge, item.instruction, asked.learned)
    pictures = tensor(source), tensor(sized(edit, source.size))
    try:
        score = await _scoring(questions).score(listening, *pictures, item.instruction)
    except JudgeUnavailable as problem:
        return found | {"error": str(problem), "unavailable": True}
    except ValueError as problem:
        return found | {"error": str(problem)}
    found |= {"questions": questions.name, "scale": questions.scale, **listening.facts()}
    for name in ("sc", "pq", "overall"):
        value = getattr(score, name)
        found[name] = None if math.isnan(value) else value
    return found | {"reason": score.reason, "notes": list(score.notes)}


def values(record: Mapping[str, Any] | None) -> tuple[dict[str, float], list[str]]:
    """The metrics of a judged row, and what was left out."""
    if record is None:
        return {}, ["judge: it was not asked"]
    if record.get("error"):
        return {}, ["judge: it gave no answer, or has no questions for the task"]
    found = {f"judge_{name}": record[name] for name in ("sc", "pq", "overall") if record.get(name) is not None}
    return found, [] if "judge_overall" in found else ["judge: its answer could not be read"]


def check(sets: Mapping[str, QuestionSet]) -> None:
    """Raise ValueError if a question set gives no scores."""
    for one in sets.values():
        _scoring(one)


def _scoring(questions: QuestionSet) -> Scoring:
    if not isinstance(questions, Scoring):
        raise ValueError(f"--questions got {questions.name}, which compares two edits, but scores are needed.")
    return questions


def _words(questions: QuestionSet) -> str:
    """Tells a question file from another version of it."""
    blocks = getattr(questions, "blocks", ())
    return f", SHA-256 of its words {_hash([[*one.pictures, one.question] for one in blocks])}" if blocks else ""


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
