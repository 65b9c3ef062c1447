"""What a judge makes of one edit, in whichever words it was asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A place that the judge named: left, top, right, bottom as shares of the edit's width and height, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""


@dataclass(frozen=True)
class Score:
    """What a judge made of one edit; NaN where its answer could not be read.

    sc, pq: how well the instruction is followed and how good the picture is; NaN too where a set has no such half;
    overall: the number that counts, on the set's scale; reason: the judge's words; notes: what went wrong on the way;
    regions: where the judge sees the edit, and advice: better words for the instruction, if its set asks for them.
    """

    sc: float
    pq: float
    overall: float
    reason: str = ""
    notes: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    advice: str = ""
