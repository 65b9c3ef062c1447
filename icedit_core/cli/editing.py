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
from ..client import ComfyClient, ComfyError, ImageRef, PromptRejected, ServerUnreachable
from . import address, fill, pictures, results, saving, settings, workflow
from .progress import Bar

FAILED = 1  # exit code
REQUEST = 60.0  # seconds at most that one request may take
IN_ALL = 100  # times --timeout: an edit that lasts longer has a server that invents its news
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
        # The run has an end of its own; before and after it a server can be slow without end.
        return asyncio.run(asyncio.wait_for(_edit(arguments), 2 * IN_ALL * arguments.timeout))
    except ComfyError as problem:  # the run's own time-out is one, and says more
        return _failed(str(problem))
    except asyncio.TimeoutError:
        return _failed(
            f"the edit took more than {2 * IN_ALL * arguments.timeout:g} s, but it had to be done by then. "
            "What was saved is whole; allow more time with --timeout."
        )
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
        if words := results.transparency(arguments.image, graph, image):
            _note(words)
        try:
            with Bar(sys.stderr) as bar:
                longest = IN_ALL * arguments.timeout
                result = await client.run(graph, bar.show, silence=arguments.timeout, timeout=longest)
        except PromptRejected as rejection:
            raise ComfyError(workflow.explained(rejection, graph, known)) from rejection
        for words in results.notes(graph, result):
            _note(words)
        found, left = results.chosen(result)
        for words in left:
            _note(words)
        return await _fetch(client, found, arguments)


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
