"""Which edit and which instruction belong to which source, in batches and in lists of batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from torch import Tensor

T = TypeVar("T")


class Job(NamedTuple):
    """Sources and their edits, as pictures; edit i belongs to source i % B. One instruction, or one a source."""

    sources: list[Tensor]
    edits: list[Tensor]
    words: list[str]


class Group(NamedTuple):
    """One source, its edits and what they were meant to do."""

    source: Tensor
    edits: list[Tensor]
    words: str


def grouped(job: Job, who: str) -> list[Group]:
    """One group a source.

    Raises:
        ValueError: numbers that do not fit together, or an empty instruction.
    """
    sources, edits, words = job
    if not edits or not sources or len(edits) % len(sources):
        raise ValueError(
            f"{who}: {len(edits)} candidates for {len(sources)} sources, but the same number, at least one, for "
            "each source is needed. Connect all of them."
        )
    if len(words) not in (1, len(sources)):
        raise ValueError(
            f"{who}: {len(words)} instructions for {len(sources)} sources, but one for all or one for each is needed. "
            "Connect as many as there are sources."
        )
    if not all(one.strip() for one in words):
        raise ValueError(f"{who}: the instruction is empty, but the judge needs to know what the edits were meant for.")
    words = words * len(sources) if len(words) == 1 else words
    return [Group(source, edits[index :: len(sources)], words[index].strip()) for index, source in enumerate(sources)]


def matched(sources: Sequence[Tensor], edits: Sequence[Tensor], words: Sequence[str], who: str) -> list[Job]:
    """The jobs in lists of batches, as ComfyUI hands them to a node that takes lists.

    One batch of sources is one job with all edits, whether these come as a batch or as a list (of several sizes). A
    list of sources is as many jobs: element i has the edits of element i, and the instruction of element i.

    Args:
        sources, edits: batches (B, H, W, C).
        words: one for all, one for each element, or one for each picture of the only batch of sources.
    Raises:
        ValueError: lists whose elements cannot be told to belong together.
    """
    if len(sources) == 1:
        return [Job(list(sources[0]), [picture for batch in edits for picture in batch], list(words))]
    if len(edits) != len(sources):
        raise ValueError(
            f"{who}: a list of {len(edits)} candidates for a list of {len(sources)} sources, but element i of one must "
            "belong to element i of the other. Batch the candidates of each source, or make the sources one batch."
        )
    if len(words) not in (1, len(sources)):
        raise ValueError(
            f"{who}: {len(words)} instructions for a list of {len(sources)} sources, but one for all or one for each "
            "is needed. Make the lists equally long."
        )
    words = [words[0]] * len(sources) if len(words) == 1 else words
    return [Job(list(source), list(edit), [one]) for source, edit, one in zip(sources, edits, words, strict=True)]


def only(values: Sequence[T], name: str, who: str) -> T:
    """The value of an input that counts once for everything.

    Raises:
        ValueError: a list of different ones.
    """
    if any(value != values[0] for value in values):
        raise ValueError(
            f"{who}: a list of {len(values)} different values for {name}, but one counts for all sources. Connect one."
        )
    return values[0]
