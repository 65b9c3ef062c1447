"""Rows over several places: each row is edited once, those of a lost place go to the others, none is lost or doubled.

A row belongs to one place at a time and gets its record from whoever finished it, so there is never a second record.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from .places import Done, Place, PlaceLost, RowBroken, RowRefused
from .rows import Row

TRIES = 3  # times that a place may be lost while it edits the same row
FIRST_LOOK, LONGEST_LOOK = 1.0, 15.0  # seconds until a lost place is looked at again, and at most
Keep = Callable[[Row, "Done | None", str | None, str], None]
"""Called once a row: (row, what it gave, error, name of the place)."""
Say = Callable[[str], None]


class NoPlaceLeft(Exception):
    """No place has answered for the time that they were given."""


class Pool:
    """Works rows off.

    Args:
        places: where rows are edited, each one at a time.
        keep: gets every finished or failed row, exactly once.
        say: gets a line about every place that is lost or back.
        patience: seconds for which all places may be lost.
    """

    def __init__(self, places: Sequence[Place], keep: Keep, say: Say, patience: float) -> None:
        self._places, self._keep, self._say, self._patience = list(places), keep, say, patience
        self._pending: deque[Row] = deque()
        self._busy = 0
        self._up = {place.name for place in places}
        self._lost_at: float | None = None  # since when all are lost
        self._refused: dict[str, dict[str, str]] = {}  # row -> place -> why; rows that wait for another place
        self._losses: dict[str, int] = {}
        self._changed = asyncio.Condition()

    async def run(self, rows: Iterable[Row]) -> None:
        """Edit all rows.

        Raises:
            NoPlaceLeft: the rest has no record and may be edited later.
        """
        self._pending.extend(rows)
        tasks = [asyncio.create_task(self._work(place)) for place in self._places]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
        if self._pending:
            raise NoPlaceLeft(f"no server has answered for {self._patience:g} s")

    async def _work(self, place: Place) -> None:
        while (row := await self._next(place)) is not None:
            lost = ""
            try:
                self._done(row, await place.edit(row), None, place)
            except PlaceLost as problem:
                lost = str(problem)
                self._lose(row, place, problem)
            except RowRefused as problem:
                self._refuse(row, place, str(problem))
            except RowBroken as problem:
                self._done(row, None, str(problem), place)
            except BaseException:  # cancelled: the row has no record and stays to be edited
                self._pending.appendleft(row)
                raise
            finally:
                self._busy -= 1
                await self._tell()
            if lost and not await self._back(place, lost):
                return

    async def _next(self, place: Place) -> Row | None:
        """A row for that place; None once there is and will be none."""
        async with self._changed:
            while True:
                for index, row in enumerate(self._pending):
                    if place.name not in self._refused.get(row.key, ()):
                        del self._pending[index]
                        self._busy += 1
                        return row
                if not self._pending and not self._busy:
                    return None
                await self._changed.wait()

    async def _tell(self) -> None:
        async with self._changed:
            self._settle()
            self._changed.notify_all()

    def _done(self, row: Row, done: Done | None, error: str | None, place: Place) -> None:
        self._refused.pop(row.key, None)
        self._losses.pop(row.key, None)
        self._keep(row, done, error, place.name)

    def _lose(self, row: Row, place: Place, why: PlaceLost) -> None:
        self._up.discard(place.name)
        self._lost_at = self._lost_at if self._up else time.monotonic()
        self._losses[row.key] = self._losses.get(row.key, 0) + why.began
        if self._losses[row.key] >= TRIES:
            self._done(
                row, None, f"a server was lost {TRIES} times while it edited this row; the last time: {why}", place
            )
        else:
            self._pending.appendleft(row)

    def _refuse(self, row: Row, place: Place, why: str) -> None:
        self._refused.setdefault(row.key, {})[place.name] = why
        self._pending.appendleft(row)  # `_settle` takes it out again if no other place is there to ask

    def _settle(self) -> None:
        """Record the error of every row that all places which answer have refused."""
        for key, refusals in list(self._refused.items()):
            if self._up and self._up <= refusals.keys():
                row = next((row for row in self._pending if row.key == key), None)
                if row is not None:  # else a place works on it
                    self._pending.remove(row)
                    name, why = next(iter(refusals.items()))
                    self._done(row, None, why, next(p for p in self._places if p.name == name))

    async def _back(self, place: Place, why: str) -> bool:
        """Wait until the place answers; False once there is nothing left to do, or no place for too long."""
        self._say(f"{place.name} is lost ({why}); its row goes to another place")
        pause = FIRST_LOOK
        while self._pending or self._busy:
            await self._sleep(pause)
            if await place.is_up():
                self._up.add(place.name)
                self._lost_at = None
                self._say(f"{place.name} is back")
                await self._tell()
                return True
            if self._lost_at is not None and time.monotonic() - self._lost_at > self._patience:
                return False
            pause = min(2 * pause, LONGEST_LOOK)
        return False

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or wake up early if all is done."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and (self._pending or self._busy):
            async with self._changed:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), left)


def record(row: Row, done: Done | None, error: str | None, place: str, wish: str) -> dict[str, Any]:
    """The record of a row."""
    found: dict[str, Any] = {"row": row.key, "wish": wish, **row.wish(), "server": place, "error": error}
    return found | ({"files": done.files, "sha256": done.hashes, **done.facts} if done else {"files": []})
