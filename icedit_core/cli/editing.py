"""What `icedit edit` does once its arguments are read: look at them, send, follow, fetch and save."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path

from .. import foreign
from ..client import (
    ComfyClient,
    ComfyError,
    Graph,
    ImageRef,
    PromptRejected,
    Result,
    ServerUnreachable,
    UnexpectedAnswer,
)
from . import address, fill, pictures, saving, settings, workflow
from .progress import Bar

FAILED = 1  # exit code
REQUEST = 60.0  # seconds at most that one request may take
IN_ALL = 100  # times --timeout: an edit that lasts longer has a server that invents its news
MOST_PICTURES = 500
LONGEST = 10_000  # letters of what is printed at once


def run(arguments: argparse.Namespace) -> int:
    """Edit the picture; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
        KeyboardInterrupt: by Ctrl-C or SIGTERM, after the prompt was taken off the server.
    """
    # Python cancels the running task on SIGINT, and the client then takes its prompt off the server.
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        _check(arguments)
        return asyncio.run(_edit(arguments))
    except ComfyError as problem:
        return _failed(str(problem))
    except ValueError as problem:
        raise ValueError(f"icedit edit: {foreign.text(problem, LONGEST)}") from problem
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the server was told to drop the edit") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(arguments: argparse.Namespace) -> None:
    """What can be said without a server."""
    out = arguments.out
    if not arguments.image.is_file():
        raise ValueError(f"got {arguments.image}, but there is no such file.")
    pictures.refuse_tiles(arguments.image)
    if not arguments.instruction.strip():
        raise ValueError("the instruction is empty, but some words are needed.")
    if not 0 < arguments.timeout < float("inf"):
        raise ValueError(f"--timeout got {arguments.timeout:g}, but seconds above 0 are needed, e.g. --timeout 600.")
    arguments.server = address.read(arguments.server)
    if out is None or saving.is_folder(out):
        if arguments.overwrite:
            raise ValueError("--overwrite got no file, but only the one named by -o may be replaced. Add -o FILE.")
    elif out.suffix.lower() not in pictures.FORMATS:
        raise ValueError(f"got -o {out}, but a {', '.join(pictures.FORMATS)} file or a folder is needed.")
    elif os.path.lexists(out) and not arguments.overwrite:
        raise ValueError(f"{out} is there already. Name another file, or add --overwrite.")
    if out is not None:
        _make_folder(out)


def _make_folder(out: Path) -> None:
    folder = out if saving.is_folder(out) else out.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ValueError(f"got -o {out}, but {folder} cannot be made a folder ({problem}).") from None


async def _edit(arguments: argparse.Namespace) -> int:
    assignments = [settings.parse(text) for text in arguments.settings]
    graph = workflow.read(Path(arguments.workflow)) if workflow.is_file(arguments.workflow) else None
    async with ComfyClient(arguments.server, timeout=min(REQUEST, arguments.timeout)) as client:
        graph = graph or await workflow.shipped(client, arguments.workflow)
        known = await workflow.schemas(client, graph)
        settled = {settings.apply(graph, known, target, value) for target, value in assignments}
        image = (await client.upload_image(arguments.image)).widget
        fill.fill_in(graph, image=image, instruction=arguments.instruction, seed=arguments.seed, settled=settled)
        _warn_of_transparency(arguments.image, graph, image)
        try:
            with Bar(sys.stderr) as bar:
                longest = IN_ALL * arguments.timeout
                result = await client.run(graph, bar.show, silence=arguments.timeout, timeout=longest)
        except PromptRejected as rejection:
            raise ComfyError(workflow.explained(rejection, graph, known)) from rejection
        _repeat_notes(graph, result)
        return await _fetch(client, _chosen(result), arguments)


def _warn_of_transparency(file: Path, graph: fill.Graph, image: str) -> None:
    """LoadImage's picture has no transparency; its mask, if the workflow takes it, is made of it."""
    loaders = {i for i, node in graph.items() if node["inputs"].get("image") == image}
    uses = [link[1] for _, link in fill.links(graph) if link[0] in loaders]
    if set(uses) <= {0} and pictures.is_transparent(file):
        _note(f"{file} is transparent in parts; ComfyUI drops that and shows the colours beneath. Flatten it before.")


def _repeat_notes(graph: Graph, result: Result) -> None:
    """What our nodes have to say, e.g. that an instruction is in a script which the text encoders do not know."""
    for node_id, node in graph.items():
        if node["class_type"].startswith("ICEdit") and (text := result.text(node_id)):
            _note(f"{foreign.line(node['class_type'])}: {foreign.indented(text)}")


def _chosen(result: Result) -> list[ImageRef]:
    """The pictures that the workflow saves; if it saves none, those that it shows."""
    found: list[ImageRef] = []
    entries = result.image_entries()
    for entry in entries[:MOST_PICTURES]:
        try:
            found.append(ImageRef.parse(entry))
        except UnexpectedAnswer as problem:
            _note(f"one picture is left out: {problem}")
    if len(entries) > MOST_PICTURES:
        _note(f"{len(entries) - MOST_PICTURES} more pictures are left on the server; {MOST_PICTURES} are taken at most")
    saved = [picture for picture in found if picture.type == "output"]
    if not found:
        raise ComfyError("the workflow ran, but gave no picture. A SaveImage node must be in it.")
    if saved and len(saved) < len(found):
        _note(f"{len(found) - len(saved)} preview(s) were left on the server")
    return saved or found


async def _fetch(client: ComfyClient, found: list[ImageRef], arguments: argparse.Namespace) -> int:
    """Save every picture that can be had; returns the exit code."""
    names = [picture.filename for picture in found]
    targets = saving.targets(arguments.out, arguments.image, names, overwrite=arguments.overwrite)
    code = 0
    for picture, target in zip(found, targets, strict=True):
        name = foreign.line(picture.filename, 100)
        try:
            async with aclosing(client.download_pieces(picture)) as pieces:
                file, replaced = await target.save(pieces)
        except ServerUnreachable:  # so are the others
            raise
        except (ComfyError, ValueError) as problem:
            code = _failed(f"the server's picture {name} was not saved: {problem}")
        except OSError as problem:
            code = _failed(f"{name} cannot be saved ({problem.strerror or problem}); it is still on the server.")
        else:
            print(f"{file}{' (replaced)' if replaced else ''}", flush=True)
    return code


def _failed(words: str) -> int:
    print(f"icedit edit: {foreign.text(words, LONGEST)}", file=sys.stderr)
    return FAILED


def _note(words: str) -> None:
    print(f"  {words}", file=sys.stderr)
