"""A whole run: servers asked, workflow settled, rows spread, every row recorded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from .. import foreign
from ..cli import address, fill, settings, workflow
from ..client import ComfyClient, ComfyError, ServerUnreachable
from . import facts
from .places import IN_ALL, REQUEST, Place, Server, Work, digest_of
from .pool import NoPlaceLeft, Pool, record
from .progress import Counter
from .records import Records
from .rows import Broken, Row
from .started import Start

PICTURES = "pictures"  # folder below the run's
MOST_LISTED = 5


@dataclass(frozen=True)
class OnRay:
    """How a Ray cluster is used.

    Attributes:
        address: of the cluster; None is the one that RAY_ADDRESS names, else one on this machine for the run.
        workers: how many; None is one for each GPU of the cluster, or for each server.
        start: how each worker starts its ComfyUI; None if `servers` are given.
    """

    address: str | None = None
    workers: int | None = None
    start: Start | None = None


@dataclass
class Options:
    """How rows are edited.

    Attributes:
        servers: addresses, checked.
        workflow: a name or a file, as for `icedit edit`.
        settings: NODE.INPUT=VALUE of all rows.
        timeout, patience: seconds, see `icedit batch --help`.
        models: a folder on the server's machine whose files are hashed.
        ray: rows over a cluster; None: from this machine to `servers`.
        head: what else stands in the records' head; `same` names what of it must not change.
    """

    servers: list[str]
    workflow: str
    settings: list[str] = field(default_factory=list)
    timeout: float = 600.0
    patience: float = 120.0
    models: Path | None = None
    redo_errors: bool = False
    ray: OnRay | None = None
    head: dict[str, Any] = field(default_factory=dict)
    same: tuple[str, ...] = ()


@dataclass
class Summary:
    """How a run ended: rows in all, failed ones, and why it stopped early, or ""."""

    rows: int
    failed: int
    stopped: str = ""


def servers(given: Sequence[str] | None) -> list[str]:
    """The addresses, or the usual one.

    Raises:
        ValueError: one is no address, or there twice.
    """
    found = [address.read(url) for url in given or [os.environ.get("ICEDIT_SERVER") or address.SERVER]]
    twice = {url for url in found if found.count(url) > 1}
    if twice:
        raise ValueError(f"--server got {', '.join(sorted(twice))} twice, but a server edits one row at a time.")
    return found


async def edit_all(
    rows: Sequence[Row], broken: Sequence[Broken], options: Options, records: Records, folder: Path, stream: TextIO
) -> Summary:
    """Edit every row that has no record yet.

    Raises:
        ComfyError: no server answers, or none has what the workflow needs.
        ValueError: the workflow does not fit, or the folder's records are of another run.
    """
    (folder / PICTURES).mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(ComfyClient(url, timeout=min(REQUEST, options.timeout)))
            for url in options.servers
        ]
        seeded = any(row.seed is not None for row in rows)
        prepared = prepare(clients, graph_of(options), options, folder / PICTURES, seeded)
        try:
            work, head = await asyncio.wait_for(prepared, 2 * IN_ALL * options.timeout)
        except asyncio.TimeoutError:
            raise ServerUnreachable(
                f"the servers described the workflow for more than {2 * IN_ALL * options.timeout:g} s, but it had to "
                "be done by then. Allow more time with --timeout."
            ) from None
        done = records.begin(head | options.head, ("icedit", "workflow", *options.same), options.redo_errors)
        left = remaining(rows, done)
        places: list[Place] = [Server(client, work) for client in clients]
        return await spread(places, rows, left, broken, done, records, options, stream)


async def spread(
    places: Sequence[Place], rows: Sequence[Row], left: Sequence[Row], broken: Sequence[Broken], done: dict[str, str],
    records: Records, options: Options, stream: TextIO,
) -> Summary:  # fmt: skip
    """Record the broken rows and work the others off."""
    total = len(rows) + len(broken)
    fresh = [row for row in broken if row.key not in done]
    before = total - len(left) - len(fresh)
    failed = sum(not wish for wish in done.values())
    with Counter(stream, total, before) as counter:
        counter.failed = failed
        if before:
            counter.say(f"{before} of {total} rows have a record in {records.file}; the run goes on with the others")
        for row in fresh:
            records.add({"row": row.key, "wish": "", "error": row.reason, "broken": True, "files": []})
            counter.add(failed=True)

        def keep(row: Row, made: Any, error: str | None, name: str) -> None:
            error = None if error is None else foreign.text(error)
            records.add(record(row, made, error, name, digest_of(row.wish())))
            counter.add(failed=error is not None)
            if error is not None:
                counter.say(f"{foreign.line(row.key)}: {foreign.indented(error, 500)}")

        def say(words: str) -> None:
            counter.say(foreign.indented(words, 500))

        try:
            for wave in waves(left):
                ready = []
                for one in wave:
                    if not one.after or one.image.is_file():
                        ready.append(one)
                    else:
                        keep(one, None, f"the row before it, {one.after}, has no picture", "")
                await Pool(places, keep, say, options.patience).run(ready)
        except NoPlaceLeft as problem:
            return Summary(total, counter.failed, str(problem))
    return Summary(total, counter.failed)


def waves(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in groups, each of which edits pictures of the groups before it, or of no group."""
    found: list[list[Row]] = []
    depths: dict[str, int] = {}
    for row in rows:  # a row stands behind the one that it comes after
        depths[row.key] = depths[row.after] + 1 if row.after in depths else 0
        while len(found) <= depths[row.key]:
            found.append([])
        found[depths[row.key]].append(row)
    return found


def remaining(rows: Sequence[Row], done: dict[str, str]) -> list[Row]:
    """The rows without a record.

    Raises:
        ValueError: a row's record is of other words, another seed or other settings.
    """
    other = [row.key for row in rows if done.get(row.key) and done[row.key] != digest_of(row.wish())]
    if other:
        raise ValueError(
            f"{len(other)} rows were edited with another picture, other words, another seed or other settings before "
            f"({foreign.listed(other, MOST_LISTED)}), but one folder takes one run. Name another folder with -o."
        )
    return [row for row in rows if row.key not in done]


def graph_of(options: Options) -> fill.Graph | None:
    """The workflow, if it is a file of this machine."""
    return workflow.read(Path(options.workflow)) if workflow.is_file(options.workflow) else None


async def prepare(
    clients: Sequence[ComfyClient], graph: fill.Graph | None, options: Options, pictures: Path, seeded: bool
) -> tuple[Work, dict[str, Any]]:
    """The workflow with the run's settings in it, as all servers can run it, and the records' head.

    Args:
        graph: what `graph_of` gives; None is the server's own of that name.
    """
    up = await _answering(clients)
    first = up[0]
    graph = graph or await workflow.shipped(first, options.workflow)
    known = await workflow.schemas(first, graph)
    for client in up[1:]:
        await workflow.schemas(client, graph)
    settled = {settings.apply(graph, known, *settings.parse(text)) for text in options.settings}
    tried = {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in graph.items()}
    # What is wrong for every row is said once, before the first.
    fill.fill_in(tried, image="x.png", instruction="x", seed=0 if seeded else None, settled=settled)
    head = {
        "icedit": "batch",
        "version": 1,
        "workflow": facts.graph_hash(graph),
        "workflow_name": options.workflow,
        "set": options.settings,
        "models": await facts.model_hashes(first, graph, options.models),
        "servers": options.servers,
    }
    return Work(graph, known, frozenset(settled), options.timeout, pictures), head


async def _answering(clients: Sequence[ComfyClient]) -> list[ComfyClient]:
    """Those that answer.

    Raises:
        ServerUnreachable: none does.
    """
    answers = await asyncio.gather(*(client.system_stats() for client in clients), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, ComfyError):
            raise answer
    up = [client for client, answer in zip(clients, answers, strict=True) if not isinstance(answer, BaseException)]
    if not up:
        raise ServerUnreachable("; ".join(str(answer) for answer in answers))
    return up
