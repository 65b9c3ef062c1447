"""Rows over a Ray cluster: one ComfyUI a worker, pictures and records on the machine that runs the command.

A worker that dies is started again by Ray, elsewhere if its machine is gone; its row goes to another one meanwhile. If
the command itself is killed, Ray ends its workers, and the same command goes on with the rows that have no record.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ..client import Graph, ServerUnreachable
from ..whole_files import write_whole
from . import run
from .places import Done, PlaceLost, RowBroken, RowRefused, Work
from .ray_worker import Reply, Worker
from .records import Records
from .rows import Broken, Row
from .started import Start

LOOK = 60.0  # seconds at most that a worker may take to say whether it is up
CLOSING = 30.0  # seconds for the workers to end their ComfyUIs
START_WAIT = "180"  # seconds for a local cluster's processes to start; Ray's own 30 are few on a busy machine
STORE = 256 << 20  # bytes of a local cluster's object store: pictures in transit


class Place:
    """One worker of the cluster, seen from the command."""

    def __init__(self, name: str, actor: Any, folder: Path) -> None:
        self.name, self.actor = name, actor
        self.work: Any = None  # a reference to the Work that all rows share
        self._folder = folder

    async def edit(self, row: Row) -> Done:
        """Edit a row and save its pictures.

        Raises:
            PlaceLost, RowRefused, RowBroken: as they say.
        """
        try:
            picture = await asyncio.to_thread(row.image.read_bytes)
        except OSError as problem:
            raise RowBroken(str(problem)) from problem
        reply: Reply = await self.ask(self.actor.edit, self.work, row, picture)
        if reply.kind == "lost":
            raise PlaceLost(reply.words, reply.began)
        if reply.kind != "done":
            raise (RowRefused if reply.kind == "refused" else RowBroken)(reply.words)
        return await asyncio.to_thread(self._saved, reply)

    async def is_up(self) -> bool:
        """Whether it answers now."""
        try:
            return bool(await asyncio.wait_for(self.ask(self.actor.is_up), LOOK))
        except (PlaceLost, asyncio.TimeoutError):
            return False

    async def ask(self, method: Any, *arguments: Any) -> Any:
        """Call a method of the worker; a call that is given up is taken off it.

        Raises:
            PlaceLost: the worker is gone.
        """
        import ray

        call = method.remote(*arguments)
        try:
            return await call
        except asyncio.CancelledError:
            ray.cancel(call)
            raise
        except ray.exceptions.RayError as problem:
            raise PlaceLost(f"the worker is gone ({str(problem).splitlines()[0]})") from problem

    def _saved(self, reply: Reply) -> Done:
        files = []
        for (name, data), expected in zip(reply.pictures.items(), reply.hashes, strict=True):
            if Path(name).name != name or hashlib.sha256(data).hexdigest() != expected:
                raise PlaceLost(f"the picture {name} came otherwise than it was sent")
            write_whole(self._folder / name, lambda beside, data=data: beside.write_bytes(data))  # type: ignore[misc]
            files.append(f"{self._folder.name}/{name}")
        return Done(files, reply.hashes, reply.facts)


async def edit_all(
    rows: Sequence[Row], broken: Sequence[Broken], options: run.Options, records: Records, folder: Path, stream: TextIO
) -> run.Summary:
    """As `run.edit_all`, over a cluster.

    Raises:
        ComfyError: no worker has a ComfyUI that answers, or none has what the workflow needs.
        ValueError: the workflow does not fit, the cluster has too few GPUs, or the records are of another run.
    """
    pictures = folder / run.PICTURES
    pictures.mkdir(exist_ok=True)
    graph = run.graph_of(options)
    with _cluster((options.ray or run.OnRay()).address) as gpus:
        places = _places(options, gpus, pictures)
        try:
            work, head = await _prepared(places, options, graph, any(row.seed is not None for row in rows))
            head |= {"engine": "ray", "servers": [place.name for place in places]}
            done = records.begin(head | options.head, ("icedit", "workflow", *options.same), options.redo_errors)
            left = run.remaining(rows, done)
            _share(places, work)
            return await run.spread(places, rows, left, broken, done, records, options, stream)
        finally:
            await _close(places)


def planned(options: run.Options, gpus: int) -> list[tuple[str, str | None, Start | None, int]]:
    """The workers: (name, address of the ComfyUI or None, how it is started or None, GPUs).

    Raises:
        ValueError: fewer GPUs than workers, or nobody says how many there should be.
    """
    asked = options.ray or run.OnRay()
    if asked.start is None:
        return [(url, url, None, 0) for url in options.servers]
    count = asked.workers or gpus
    if not count:
        raise ValueError(
            "--engine ray: the cluster has no GPU, so the number of workers is not known. Add --workers N."
        )
    if gpus and count > gpus:
        raise ValueError(f"--workers got {count}, but the cluster has {gpus} GPUs, and each ComfyUI takes one.")
    return [(f"ray worker {number}", None, asked.start, 1 if gpus else 0) for number in range(count)]


@contextmanager
def _cluster(address: str | None) -> Iterator[int]:
    """The cluster, or one on this machine for the time of the run; gives its number of GPUs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of ours tells nobody
    os.environ.setdefault("RAY_raylet_start_wait_time_s", START_WAIT)
    os.environ.setdefault("RAY_worker_niceness", "0")  # else what a worker starts yields to everything else, at 15
    import ray

    local = address is None and "RAY_ADDRESS" not in os.environ
    own = {"include_dashboard": False, "object_store_memory": STORE} if local else {}
    with _same_signals():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except ConnectionError as problem:
            raise ValueError(f"--ray-address got {address}, but no cluster answers there ({problem}).") from None
        except Exception as problem:  # ray itself raises that where its processes start too slowly
            raise ServerUnreachable(f"Ray did not start: {problem}") from problem
    try:
        yield int(ray.cluster_resources().get("GPU", 0))
    finally:
        ray.shutdown()


@contextmanager
def _same_signals() -> Iterator[None]:
    """Put back what ray does to SIGTERM: the command ends in its own way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _places(options: run.Options, gpus: int, pictures: Path) -> list[Place]:
    import ray

    kind = ray.remote(Worker)
    return [
        Place(
            name,
            kind.options(num_gpus=takes, max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD").remote(
                server, start
            ),
            pictures,
        )
        for name, server, start, takes in planned(options, gpus)
    ]


async def _prepared(
    places: Sequence[Place], options: run.Options, graph: Graph | None, seeded: bool
) -> tuple[Work, dict[str, Any]]:
    """What the first worker that answers makes of the workflow."""
    plain = replace(options, head={}, same=())
    calls = [asyncio.create_task(place.ask(place.actor.prepare, plain, graph, seeded)) for place in places]
    lost = []
    try:
        for call in asyncio.as_completed(calls):
            try:
                found = await call
            except PlaceLost as problem:
                lost.append(str(problem))
                continue
            if not isinstance(found, Reply):
                return found
            if found.kind == "refused":
                raise ValueError(found.words)
            lost.append(found.words)
    finally:
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    raise ServerUnreachable("; ".join(dict.fromkeys(lost)))


def _share(places: Sequence[Place], work: Work) -> None:
    import ray

    shared = ray.put(work)
    for place in places:
        place.work = shared


async def _close(places: Sequence[Place]) -> None:
    """End the workers and what they started."""
    import ray

    async def close(place: Place) -> None:
        with suppress(PlaceLost, asyncio.TimeoutError):
            await asyncio.wait_for(place.ask(place.actor.close), CLOSING)
        ray.kill(place.actor)

    await asyncio.gather(*(close(place) for place in places), return_exceptions=True)
