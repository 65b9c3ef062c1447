"""An instruction as two captions, of the picture and of the edit, and a box: what a judge sees in the picture."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from . import regions
from .judges import Chooser, Closing, Judge, ask_json, words
from .judges.scores import Region

WHO = "ICEdit Two Captions"
LONGEST = 1000  # characters of a caption
LOCAL, BACKGROUND, GLOBAL, OTHER = "local", "background", "global", "other"
KINDS = (LOCAL, BACKGROUND, GLOBAL, OTHER)
GRID = 1000  # of the box, along either side of the picture

QUESTION = (
    'The picture is to be edited by this instruction: "{instruction}".\nWrite two captions in plain English, each one '
    "sentence. source describes all of the picture as it is: every thing with its kind, colour and place, the "
    "background, the style. target is the same sentence word for word, with those words changed that the edit changes; "
    "it describes the edited picture and asks for nothing.\ntype is 'local' if one thing changes or goes, 'background' "
    "if all but one thing changes, 'global' if the whole picture changes, 'other' if something is added or a part of a "
    "thing changes.\nbox is [left, top, right, bottom] from 0 to 1000 of the picture's width and height, around what "
    "changes; with 'background' around the thing that stays."
)
SCHEMA = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "minLength": 3, "description": "the picture as it is"},
        "target": {"type": "string", "minLength": 3, "description": "the picture after the edit"},
        "type": {"type": "string", "enum": list(KINDS)},
        "box": {"type": "array", "items": {"type": "number"}, "description": "left, top, right, bottom, 0 to 1000"},
    },
    "required": ["source", "target", "type"],
}


class Captions(NamedTuple):
    """kind: one of `KINDS`; region: the box, None where the whole picture is meant or the judge gave none."""

    source: str
    target: str
    kind: str
    region: Region | None


async def ask(judge: Judge, picture: Tensor, instruction: str) -> Captions:
    """What `judge` makes of the instruction.

    Args:
        picture: (H, W, 3 or 4) in [0, 1].
    Raises:
        ValueError: no instruction, a judge that writes no text, or two captions that are the same.
        JudgeUnavailable: the judge could not be asked or understood.
    Source: DirectEdit, arXiv 2605.02417, scripts/generate_mask.py (types, box, and what a failed answer counts as); it
        is given both captions. The question is ours.
    """
    if not instruction.strip():
        raise ValueError(f"{WHO}: the instruction is empty, but words are needed. Say what to change.")
    if isinstance(judge, Chooser) or not getattr(judge, "writes", True):
        raise ValueError(f"{WHO}: {judge.name} writes no text, but captions are needed. Use another judge.")
    try:
        said = await ask_json(judge, QUESTION.format(instruction=instruction.strip()), SCHEMA, [picture])
    finally:
        if isinstance(judge, Closing):
            await judge.close()
    source, target = (words.line(said[side], LONGEST) for side in ("source", "target"))
    if source == target:
        raise ValueError(
            f"{WHO}: {judge.name} gave the same caption twice ('{words.line(source, 80)}'), but they must differ by "
            "the edit. Word the instruction anew, or take a larger model."
        )
    region = None if said["type"] == GLOBAL else box(said.get("box", ()))
    return Captions(source, target, said["type"], region)


def box(values) -> Region | None:
    """The region of [left, top, right, bottom] on a grid of 1000; None where they are no box in the picture."""
    if len(values) != 4 or not all(0 <= value <= GRID for value in values):
        return None
    left, top, right, bottom = (value / GRID for value in values)
    return Region(left, top, right, bottom) if left < right and top < bottom else None


def mask(picture: Tensor, captions: Captions) -> Tensor:
    """Where the picture may change: the box, around a background edit's box, or all of it.

    Args:
        picture: (H, W, C).
    Returns:
        (H, W) float32, 1 may change.
    """
    if captions.region is None:
        return torch.ones(picture.shape[:2])
    inside = regions.mask(picture, [captions.region])
    return 1 - inside if captions.kind == BACKGROUND else inside


def pixels(picture: Tensor, captions: Captions) -> dict[str, int]:
    """The box as x, y, width and height in pixels; all of the picture where there is none."""
    height, width = picture.shape[:2]
    one = captions.region or Region(0, 0, 1, 1)
    left, top = int(one.left * width), int(one.top * height)
    return {
        "x": left,
        "y": top,
        "width": math.ceil(one.right * width) - left,
        "height": math.ceil(one.bottom * height) - top,
    }


def report(captions: Captions) -> str:
    """Both captions and what may change, in words."""
    if captions.region is None:
        where = "The mask is the whole picture."
        if captions.kind != GLOBAL:
            where = "The mask is the whole picture: the judge gave no box that could be used."
    else:
        one = captions.region
        left, top, right, bottom = (round(100 * value) for value in (one.left, one.top, one.right, one.bottom))
        corners = f"{left} %, {top} % to {right} %, {bottom} % of the picture."
        where = f"The mask is the box from {corners}"
        if captions.kind == BACKGROUND:
            where = f"The mask is all but the box from {corners}"
    return f"source: {captions.source}\ntarget: {captions.target}\ntype: {captions.kind}\n{where}"
