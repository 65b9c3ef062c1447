"""A place edits rows: here one ComfyUI server, whose pictures are saved on this machine."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .. import foreign
from ..cli import fill, pictures, results, saving, settings, workflow
from ..client import ComfyClient, ComfyError, PromptRejected, RequestFailed, Result, ServerUnreachable
from ..client.errors import ExecutionFailed, ExecutionInterrupted
from . import facts
from .rows import Row

IN_ALL = 100  # times the silence: an edit that lasts longer has a server that invents its news
REQUEST = 60.0  # seconds at most that one request may take
SUBFOLDER = "icedit_batch"  # of the server's input folder
ENDING = ".png"
MOST_WORDS = 2000  # letters of an error or a note in a record


class PlaceLost(Exception):
    """The place does not answer; the row may be edited elsewhere.

    Args:
        began: whether the row may have to do with it; a place that was gone before was not lost by this row.
    """

    def __init__(self, why: str, began: bool = True) -> None:
        super().__init__(why)
        self.began = began


class RowRefused(Exception):
    """The place answers, but does not edit this row; another one might."""


class RowBroken(Exception):
    """The row itself cannot be edited anywhere, e.g. its picture cannot be read."""


@dataclass
class Done:
    """What an edit gave: file names below the run's folder, their SHA-256, and what belongs into the record."""

    files: list[str]
    hashes: list[str]
    facts: dict[str, Any] = field(default_factory=dict)


class Place(Protocol):
    name: str

    async def edit(self, row: Row) -> Done: ...

    async def is_up(self) -> bool: ...


@dataclass(frozen=True)
class Work:
    """What all rows share.

    Attributes:
        graph: the workflow in the API format with the run's own settings in it.
        schemas: what the server says about its node types.
        settled: inputs that were set and are left alone.
        silence: seconds without news after which an edit is given up.
        folder: where the pictures go.
    """

    graph: fill.Graph
    schemas: Mapping[str, Any]
    settled: frozenset[fill.Place]
    silence: float
    folder: Path


class Server:
    """One ComfyUI."""

    def __init__(self, client: ComfyClient, work: Work) -> None:
        self.name = client.base_url
        self._client, self._work = client, work

    async def is_up(self) -> bool:
        """Whether it answers now."""
        try:
            await self._client.system_stats()
        except ComfyError:
            return False
        return True

    async def edit(self, row: Row) -> Done:
        """Edit a row and save its pictures.

        Raises:
            PlaceLost, RowRefused, RowBroken: as they say.
        """
        longest = 2 * IN_ALL * self._work.silence  # the run's own end is at half of it; uploads and downloads have none
        try:
            return await asyncio.wait_for(self._edit(row), longest)
        except (PromptRejected, ExecutionFailed, ExecutionInterrupted) as problem:
            raise RowRefused(str(problem)) from problem
        except RequestFailed as problem:
            kind = RowRefused if 400 <= problem.status < 500 else PlaceLost
            raise kind(str(problem)) from problem
        except ComfyError as problem:  # unreachable, silent, or not what a ComfyUI says; the run's own time-out too
            raise PlaceLost(str(problem)) from problem
        except asyncio.TimeoutError:
            raise PlaceLost(f"one edit took more than {longest:g} s") from None

    async def _edit(self, row: Row) -> Done:
        started = time.monotonic()
        try:
            graph, warning = await self._filled(row)
        except ServerUnreachable as problem:
            raise PlaceLost(str(problem), began=False) from problem
        try:
            result = await self._client.run(graph, silence=self._work.silence, timeout=IN_ALL * self._work.silence)
        except PromptRejected as rejection:
            raise RowRefused(workflow.explained(rejection, graph, self._work.schemas)) from rejection
        seconds = time.monotonic() - started
        done = await self._fetch(row, result)
        said = [*filter(None, [warning]), *results.notes(graph, result)]
        done.facts |= {"seed": facts.seed_of(graph), "seconds": round(seconds, 3), "nfe": facts.nfe(graph)}
        done.facts |= {"graph": facts.graph_hash(graph), "notes": [foreign.text(words, MOST_WORDS) for words in said]}
        return done

    async def _filled(self, row: Row) -> tuple[fill.Graph, str]:
        """The workflow with the row's picture, words, seed and settings, and a warning or ""."""
        graph, settled = copy.deepcopy(self._work.graph), set(self._work.settled)
        try:
            pictures.refuse_tiles(row.image)
            settled |= {settings.apply(graph, self._work.schemas, *setting) for setting in row.settings}
            image = await self._client.upload_image(row.image, f"{row.name}{row.image.suffix}", subfolder=SUBFOLDER)
            fill.fill_in(graph, image=image.widget, instruction=row.instruction, seed=row.seed, settled=settled)
            return graph, results.transparency(row.image, graph, image.widget)
        except (ValueError, OSError) as problem:
            raise RowBroken(str(problem)) from problem

    async def _fetch(self, row: Row, result: Result) -> Done:
        try:
            found, left = results.chosen(result)
        except ComfyError as problem:
            raise RowRefused(str(problem)) from problem
        done = Done([], [], {"left": left} if left else {})
        for number, picture in enumerate(found, 1):
            # A name of ours cannot hold a dot before its ending, so numbered ones never meet another row's.
            file = self._work.folder / f"{row.name}{f'.{number}' if number > 1 else ''}{ENDING}"
            try:
                async with aclosing(self._client.download_pieces(picture)) as pieces:
                    await saving.Target(file, [file], file).save(pieces)
            except ValueError as problem:
                raise RowRefused(
                    f"its picture {foreign.line(picture.filename, 100)} was not saved: {problem}"
                ) from problem
            done.files.append(f"{self._work.folder.name}/{file.name}")
            done.hashes.append(await asyncio.to_thread(facts.hash_of, file))
        return done


def digest_of(wish: Mapping[str, Any]) -> str:
    """Tells a row's wish from another; short, for every record has it."""
    return hashlib.sha256(repr(sorted(wish.items())).encode("utf-8", "surrogatepass")).hexdigest()[:16]
