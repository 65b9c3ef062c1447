"""The figures of the multi-turn bench in Markdown, and its pictures in a strip."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from devtools.compare import INK, PAPER
from workshop.report import table

SIDE, GAP, LABEL = 168, 8, 62  # px of a picture, between pictures, above them
MEANT = ("carried_out", "untouched", "error", "equal")


def means(chains: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Over chains, turn by turn; of the wrong pixels the sum."""
    result = []
    for turn in zip(*chains, strict=True):
        mean = {name: round(float(np.mean([row[name] for row in turn])), 4) for name in MEANT}
        result.append({"turn": turn[0]["turn"], **mean, "untouched_wrong": sum(row["untouched_wrong"] for row in turn)})
    return result


def page(result: dict[str, Any]) -> str:
    restored, whole = result["means"].values()
    names = [f"{what}, {mode}" for what in ("error", "equal") for mode in ("restored", "whole panel")]
    rows = [
        [
            kept["turn"],
            *(f"{one['error']:.2f}" for one in (kept, handed)),
            *(f"{100 * one['equal']:.1f} %" for one in (kept, handed)),
            f"{100 * kept['untouched']:.1f} %",
            kept["untouched_wrong"],
            *(f"{100 * one['carried_out']:.0f} %" for one in (kept, handed)),
        ]
        for kept, handed in zip(restored, whole, strict=True)
    ]
    head = ["turn", *names, "untouched", "of them not equal", "carried out, restored", "carried out, whole panel"]
    return "\n".join(
        [
            "# Five edits, one after the other",
            "",
            f"{len(result['chains'])} scenes of the demo (three shapes on a plain background) at {result['size']} px, "
            f"panels of {result['panel']} px, and five edits of each in words (recolour, remove, add, swap), drawn "
            "from a fixed seed, none left out; the shipped workflow `icedit_multi_turn_demo` with five turns. "
            "*Restored*: ICEdit Restore as it is. *Whole panel*: `keep_unedited` off, so that each turn hands on "
            f"everything that the model painted. Made by `python dev.py bench multi-turn` in {result['seconds']} s on "
            f"{result['machine']}.",
            "",
            "![The first scene, turn by turn](multi_turn.png)",
            "",
            "Where no edit was asked for, up to that turn: the mean error against the source, in levels of 255, and "
            "the share of pixels equal to it to the bit. *Untouched*: pixels that no turn's change mask holds, and how "
            "many of them differ from the source.",
            "",
            *table(head, rows),
            "",
            "*Carried out* compares with the exact picture after that turn, so a turn that fails counts in the later "
            "ones too.",
            "",
        ]
    )


def strip(shown: dict[str, list[np.ndarray]], words: tuple[str, ...]) -> Image.Image:
    """One row a mode, one column a turn, the words above."""
    columns = len(words) + 1
    sheet = Image.new("RGB", (columns * (SIDE + GAP) + GAP, LABEL + len(shown) * (SIDE + 30)), PAPER)
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(14), ImageFont.load_default(13)
    for column, label in enumerate(("the picture", *words)):
        lines = textwrap.wrap(f"{column}. {label}" if column else label, 24)
        pen.multiline_text((GAP + column * (SIDE + GAP), 6), "\n".join(lines), INK, small, spacing=3)
    for row, (mode, pictures) in enumerate(shown.items()):
        top = LABEL + row * (SIDE + 30)
        title = {"restored": "unedited pixels restored", "whole panel": "the whole panel handed on"}[mode]
        pen.text((GAP, top), title, INK, font)
        for column, picture in enumerate(pictures):
            image = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(image, (GAP + column * (SIDE + GAP), top + 22))
    return sheet
