"""What runs on a cluster's machine: one ComfyUI, given by its address or started here, that edits the rows it is sent.

Pictures come and go as bytes, so that the machines share no folder. Nothing here imports ray.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..cli.fill import Graph
from ..client import ComfyClient, ComfyError, ServerUnreachable
from . import run
from .places import REQUEST, PlaceLost, RowBroken, RowRefused, Server, Work
from .rows import Row
from .started import Start, Started

START_LIMIT = 600.0  # seconds until a started ComfyUI must answer
LOOK = 0.5  # seconds between looks at one that starts


@dataclass
class Reply:
    """How an edit went: "done", or "lost", "refused" or "broken" with the words of that error.

    Attributes:
        began: of a lost one, whether the row may have to do with it.
        pictures: name -> bytes; `hashes` are their SHA-256, in order.
    """

    kind: str
    words: str = ""
    began: bool = True
    pictures: dict[str, bytes] = field(default_factory=dict)
    hashes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Worker:
    """One ComfyUI, which edits one row at a time.

    Args:
        server: its address as seen from this machine, or None.
        start: how it is started here, or None.
    """

    def __init__(self, server: str | None, start: Start | None) -> None:
        self._server, self._start = server, start
        self._started: Started | None = None
        self._answers = False
        self._edits = asyncio.Lock()
        self._starts = asyncio.Lock()

    async def process(self) -> int:
        """This process's number."""
        return os.getpid()

    async def prepare(
        self, options: run.Options, graph: Graph | None, seeded: bool
    ) -> tuple[Work, dict[str, Any]] | Reply:
        """The workflow as this ComfyUI can run it and the records' head, as `run.prepare`."""
        try:
            async with ComfyClient(await self._url(), timeout=min(REQUEST, options.timeout)) as client:
                return await run.prepare([client], graph, options, Path(run.PICTURES), seeded)
        except (ServerUnreachable, PlaceLost, OSError) as problem:
            return Reply("lost", str(problem))
        except (ComfyError, ValueError) as problem:
            return Reply("refused", str(problem))

    async def edit(self, work: Work, row: Row, picture: bytes) -> Reply:
        """Edit a row whose source has these bytes."""
        async with self._edits:
            try:
                url = await self._running()
                started = self._started  # its folder stays as long as it is named here
                beside = None if started is None else started.folder
                with tempfile.TemporaryDirectory(prefix="icedit-row-", dir=beside) as folder:
                    image = Path(folder) / row.image.name
                    image.write_bytes(picture)
                    made = Path(folder) / run.PICTURES
                    made.mkdir()
                    return await self._edit(url, replace(work, folder=made), replace(row, image=image))
            except PlaceLost as problem:
                return Reply("lost", str(problem), problem.began)
            except RowRefused as problem:
                return Reply("refused", str(problem))
            except (RowBroken, ValueError) as problem:
                return Reply("broken", str(problem))

    async def _running(self) -> str:
        """As `_url`; a ComfyUI that cannot be started is lost."""
        try:
            return await self._url()
        except OSError as problem:
            raise PlaceLost(f"its ComfyUI cannot be started ({problem})", began=False) from problem

    async def _edit(self, url: str, work: Work, row: Row) -> Reply:
        async with ComfyClient(url, timeout=min(REQUEST, work.silence)) as client:
            done = await Server(client, work).edit(row)
        if self._started is not None:
            await asyncio.to_thread(self._started.empty)
        names = [Path(file).name for file in done.files]
        return Reply(
            "done",
            pictures={name: (work.folder / name).read_bytes() for name in names},
            hashes=done.hashes,
            facts=done.facts,
        )

    async def is_up(self) -> bool:
        """Whether its ComfyUI answers; one of its own that has ended is started again."""
        try:
            async with ComfyClient(await self._url(), timeout=REQUEST) as client:
                await client.system_stats()
        except (ComfyError, PlaceLost, OSError, ValueError):
            return False
        return True

    async def close(self) -> None:
        """End a ComfyUI of its own, once the last edit is over or taken off."""
        async with self._edits:
            if self._started is not None:
                await asyncio.to_thread(self._started.end)
                self._started = None

    async def _url(self) -> str:
        """The address of the ComfyUI, which answers if it was started here.

        Raises:
            PlaceLost: it ended, or did not answer in time.
        """
        if self._start is None:
            return str(self._server)
        async with self._starts:
            if self._started is None or self._started.ended:
                self._started, self._answers = Started(self._start), False
            if not self._answers:  # also if whoever started it was called off while it waited
                await _answering(self._started)
                self._answers = True
            return self._started.url


async def _answering(started: Started) -> None:
    until = time.monotonic() + START_LIMIT
    async with ComfyClient(started.url, timeout=REQUEST) as client:
        while True:
            try:
                await client.system_stats()
                return
            except ComfyError:
                if started.ended or time.monotonic() > until:
                    said = started.said()
                    started.end()
                    raise PlaceLost(f"its ComfyUI did not start: {said}", began=False) from None
            await asyncio.sleep(LOOK)
