"""Runs a tool by name: measurements (figures are printed and reported, never asserted) and generators."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

from workshop.measuring import measuring

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = {
    "ablation": "devtools.bench.ablation",  # what each part of the method is worth on the demo model
    "attention-map": "devtools.bench.attention_map",  # how well a thing is found by its words
    "batch": "devtools.bench.batch",  # icedit batch over two servers or a Ray cluster, killed half-way, row by row
    "bookkeeping": "devtools.bench.bookkeeping",  # 10,000 rows of records, and the time that the commands take to start
    "demo": "workshop.evaluate",  # how well the demo model carries out instructions
    "keep": "devtools.bench.keep",  # how much of what an edit must not touch is kept
    "keep-any": "devtools.bench.keep_any",  # the same for any editor: photographs, a synthetic editor, known truth
    "keep-large": "devtools.bench.keep_large",  # time, memory and Cancel on large photographs
    "keep-turns": "devtools.bench.keep_turns",  # what wears out over five turns of any editor on a photograph
    "plain-words": "devtools.bench.plain_words",  # plain sentences on drawings made without a look at the demo
    "pictures": "devtools.pictures",  # makes the README's pictures and the thumbnails anew
    "help-pictures": "devtools.help_pictures",  # makes the pictures of the help pages anew
    "filter-budget": "devtools.bench.filter_budget",  # the same with a budget, simulated on the recorded table
    "early-filter": "devtools.bench.early_filter",  # what several seeds and a judge are worth
    "eval-scenes": "devtools.bench.eval_scenes",  # icedit eval beside the recorded ablation, scene by scene
    "footprint": "devtools.bench.footprint",  # what the pack adds to ComfyUI's start
    "interrupts": "devtools.bench.interrupts",  # what interrupted runs leave in the server's memory
    "diptych-noise": "devtools.bench.diptych_noise",  # ICEdit from noise beside ICEdit by filling, on the demo's base
    "inversion": "devtools.bench.inversion",  # every method of DirectEdit on the demo's base, by captions
    "inversion-cost": "devtools.bench.inversion_cost",  # what attention values cost DirectEdit at full size
    "moe": "devtools.bench.moe",  # what the routed layers cost beside plain LoRA and a loop over the experts
    "multi-turn": "devtools.bench.multi_turn",  # what wears out over five edits of one picture
    "mutations": "devtools.bench.mutations",  # changed files of strangers are refused in words or right
    "real-editors": "devtools.bench.real_editors",  # what real editors changed, and what is found of it
    "region": "devtools.bench.region",  # what computing only what changes costs and is worth
    "retry": "devtools.bench.retry",  # what mended words are worth where the instruction is misread
    "soak": "devtools.bench.soak",  # a server under many prompts, cancels and repeats
    "x2-overhead": "devtools.bench.x2_overhead",  # what X2Edit's experts cost at full size
    "workflows": "devtools.workflows",  # writes workflows/ anew
    "locales": "devtools.locales",  # writes locales/en and the lists of the help pages, and says what is missing
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to the tool")
    options = parser.parse_args(argv)
    target = BENCHMARKS[options.name]
    sys.argv = [target, *options.arguments]
    with measuring():  # a training in the background waits
        if target.endswith(".py"):
            # As `python SCRIPT` would: its own folder is on the path and not the pack's root.
            sys.path[0] = str((ROOT / target).parent)
            runpy.run_path(str(ROOT / target), run_name="__main__")
        else:
            runpy.run_module(target, run_name="__main__", alter_sys=True)
    return 0
