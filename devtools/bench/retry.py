"""What mended words are worth where the instruction is misread: success, rounds, questions and model calls.

    python dev.py bench retry [--scenes 40] [--draws 20] [--out benchmarks]

The demo model edits unseen scenes in the real ComfyUI. Their instruction says colours and shapes in words that the
model was not trained on (`MISREAD`); the same instruction in training's words is what a good rewording gives. The
rounds are those of ICEdit Retry (`icedit_core.retry`), with a scripted judge that looks at the preview, and a scripted
writer; each is wrong in a share of its rounds. A stopped run goes on where it was. Writes retry.json and retry.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from demo import scenes
from demo.model_files import hashes
from demo.scenes.wordings import WORDS
from devtools.bench import retry_page
from devtools.bench.early_filter import Sampler
from devtools.bench.progress import OUT, Progress
from icedit_core import retry
from icedit_core.judges import Answer
from workshop import report
from workshop.host_model import HostModel
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
FIRST_SCENE = 20_000  # above what other figures use
TASKS = ("recolour", "remove", "add", "swap")
ROUNDS, EARLY, STEPS = 4, 4, 12
GOOD, BAD, ENOUGH = 9.0, 4.0, 8.0  # the scripted judge's scores, and `good_enough`
WRONG = 0.3
MISREAD = {
    "red": "tomato-like", "orange": "pumpkin-like", "yellow": "lemon-like", "green": "grassy", "cyan": "lagoon-like",
    "blue": "sapphire", "purple": "plum-like", "pink": "flamingo-like", "circle": "ball", "square": "box",
    "triangle": "pyramid", "star": "asterisk", "heart": "valentine", "cross": "plus sign", "diamond": "rhomb",
}  # fmt: skip
"""The table: a word of training, and what the person says instead."""
POLICIES = {
    "one round": (1, 0.0),
    "retry, nobody wrong": (ROUNDS, 0.0),
    "retry, wrong in 30 % of the rounds": (ROUNDS, WRONG),
    "same words, new seeds, judge wrong in 30 %": (ROUNDS, WRONG),
}


def misread(words: str) -> str:
    return re.sub(r"[a-z]+", lambda found: MISREAD.get(found[0], found[0]), words)


def wordings(example: scenes.Example) -> dict[str, str]:
    """What the person says, a good rewording of it, and a wrong one: training's words for another edit."""
    right = WORDS[example.task][0].format(**example.edit.words())
    other = scenes.make(example.seed + 1_000_000, scenes.PANEL, example.task)
    return {
        "misread": misread(right),
        "right": right,
        "wrong": WORDS[other.task][0].format(**other.edit.words()),
    }


def sampled(sampler: Sampler, index: int) -> dict:
    """Per wording and seed whether the preview and the finished picture carry out the edit."""
    example = scenes.make(scenes.UNSEEN + FIRST_SCENE + index, scenes.PANEL, TASKS[index % len(TASKS)])
    found = {}
    for name, text in wordings(example).items():
        stages = sampler.stages(replace(example, instruction=text), ROUNDS, STEPS, (EARLY,))
        seen = stages[0]
        found[name] = {
            "words": text,
            "seen": "".join("01"[example.check(one).success] for one in seen),
            "done": "".join("01"[example.check(one).success] for one in stages[-1]),
        }
    return {"scene": index, "task": example.task, **found}


@dataclass
class Script:
    """Judge and writer in one: a picture's mean says which sampling it is, the table whether that is right.

    wrong: the share of rounds in which the score, and of rewordings in which the words are wrong.
    keeps: the writer gives the old words back, so that rounds differ by their seeds alone.
    """

    name: str
    row: dict
    wrong: float
    keeps: bool
    random: random.Random
    now: tuple[str, int] = ("misread", 0)
    asked: int = 0
    score: float = 0.0

    async def ask(self, pictures, question, most_tokens) -> Answer:
        self.asked += 1
        if "JSON Schema" not in question:
            if len(pictures) == 2:
                kind, seed = self.now
                is_right = (self.row[kind]["seen"][seed] == "1") != (self.random.random() < self.wrong)
                self.score = GOOD if is_right else BAD
            return Answer(json.dumps({"score": [self.score, self.score], "reasoning": "scripted"}))
        if pictures:
            return Answer('{"missing": "it is not what was asked for"}')
        kind = "wrong" if self.random.random() < self.wrong else "right"
        return Answer(json.dumps({"instruction": self.row["misread" if self.keeps else kind]["words"]}))


async def rounds(row: dict, most: int, script: Script) -> dict:
    """What ICEdit Retry does with one candidate a round, from the table of samplings."""
    instruction, source = row["misread"]["words"], torch.zeros(8, 8, 3)
    tries, words, kinds = retry.Tries(), instruction, []
    for number in range(most):
        if number:
            words, tries = await retry.reworded(tries, source, instruction, script, script)
        if tries.over:
            break
        kinds.append(next(kind for kind in ("misread", "right", "wrong") if row[kind]["words"] == words))
        script.now = kinds[-1], number
        picture = torch.full((8, 8, 3), script.random.random())  # a picture of its own, so that no answer is remembered
        tries = await retry.judged(tries, words, source, [picture], instruction, script, ENOUGH, EARLY)
    best = tries.best
    done = [row[kind]["done"][number] == "1" for number, kind in enumerate(kinds)]
    return {
        "success": done[best],
        "first": done[0],
        "rounds": len(kinds),
        "questions": script.asked,
        "nfe": len(kinds) * EARLY + STEPS - EARLY,
        "worse_by_its_score": tries.rounds[best].score < tries.rounds[0].score,
    }


def figures(rows: list[dict], draws: int) -> dict:
    """Means over scenes and draws, per policy."""
    found = {}
    for name, (most, wrong) in POLICIES.items():
        cells = []
        for row in rows:
            for draw in range(draws if wrong else 1):
                chance = random.Random(f"{name} {row['scene']} {draw}")
                script = Script(f"{name} {row['scene']} {draw}", row, wrong, "same words" in name, chance)
                cells.append(asyncio.run(rounds(row, most, script)))
        mean = {key: round(float(np.mean([cell[key] for cell in cells])), 4) for key in cells[0]}
        lost = float(np.mean([cell["first"] and not cell["success"] for cell in cells]))
        found[name] = mean | {"first_right_and_lost": round(lost, 4), "runs": len(cells)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--draws", type=int, default=20, help="of the scripts' errors, per scene")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks")
    options = parser.parse_args()
    made = {"sha256": hashes(), "table": MISREAD, "first_scene": FIRST_SCENE, "rounds": ROUNDS, "early_steps": EARLY}
    started, sampler, rows = time.monotonic(), None, []
    with Progress("retry", options.scenes, made, OUT, remove=False) as progress:
        for index in range(options.scenes):
            if str(index) not in progress.results:
                sampler = sampler or Sampler(HostModel())
                progress.add(str(index), sampled(sampler, index))
            rows.append(progress.results[str(index)])
    result = made | {
        "machine": describe("no GPU used", f"torch {torch.__version__} with {torch.get_num_threads()} thread(s)"),
        "seconds_of_the_last_run": round(time.monotonic() - started),
        "steps": STEPS,
        "draws": options.draws,
        "policies": figures(rows, options.draws),
        "rows": rows,
    }
    report.write(options.out, "retry", result, retry_page.page(result))


if __name__ == "__main__":
    main()
