"""Edit a picture by instruction on a ComfyUI server that has this pack, as docs/api.md describes."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from ..client import ComfyClient, ComfyError, Graph, ImageRef, PromptRejected, Result
from . import fill, settings, workflow
from .progress import Bar

log = logging.getLogger(__name__)

SERVER = "http://127.0.0.1:8188"
WORKFLOW = "icedit_flux_fill"
FAILED = 1  # exit code
WRITTEN = ".png"  # what ComfyUI's SaveImage and PreviewImage write


def add(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "exit codes: 0 done, 1 the server failed or refused, 2 something given is wrong, 130 interrupted\n"
        "(Ctrl-C takes the edit off the server)"
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="the picture to edit")
    parser.add_argument("instruction", metavar="INSTRUCTION", help="what to change, e.g. 'make her hair dark green'")
    parser.add_argument(
        "-o", dest="out", type=Path, required=True, metavar="OUT", help="a .png file, or a folder for several pictures"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace pictures that are there already")
    parser.add_argument(
        "--server", default=os.environ.get("ICEDIT_SERVER") or SERVER, metavar="URL",
        help=f"default: the environment's ICEDIT_SERVER, else {SERVER}",
    )  # fmt: skip
    parser.add_argument(
        "--workflow", default=WORKFLOW, metavar="NAME|FILE",
        help=f"a workflow of the pack on the server, or a file in the API format; default: {WORKFLOW}",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", help="of the noise, in every sampler; default: the workflow's")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NODE.INPUT=VALUE",
        help="any other input; NODE is an id, a title or a type, e.g. KSampler.steps=20 (may be repeated)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Edit the picture; returns the exit code.

    Raises:
        ValueError: anything that the user can put right.
        KeyboardInterrupt: by Ctrl-C or SIGTERM, after the prompt was taken off the server.
    """
    _check(arguments)
    # Python cancels the running task on SIGINT, and the client then takes its prompt off the server.
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return asyncio.run(_edit(arguments))
    except ComfyError as problem:
        print(f"icedit edit: {problem}", file=sys.stderr)
        return FAILED
    except ValueError as problem:
        raise ValueError(f"icedit edit: {problem}") from problem
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the server was told to drop the edit") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(arguments: argparse.Namespace) -> None:
    """What can be said without a server."""
    out, address = arguments.out, urlsplit(arguments.server)
    if not arguments.image.is_file():
        raise ValueError(f"icedit edit: got {arguments.image}, but there is no such file.")
    if not arguments.instruction.strip():
        raise ValueError("icedit edit: the instruction is empty, but some words are needed.")
    if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
        raise ValueError(
            f"icedit edit: --server got {address.scheme}://{address.netloc.rpartition('@')[2]}, but an address like "
            f"{SERVER} is needed, without a name or password in it."
        )
    if not _is_folder(out) and out.suffix.lower() != WRITTEN:
        raise ValueError(f"icedit edit: got -o {out}, but ComfyUI writes PNG. Name a {WRITTEN} file or a folder.")
    if not _is_folder(out) and out.exists() and not arguments.overwrite:
        raise ValueError(f"icedit edit: {out} is there already. Name another file, or add --overwrite.")
    folder = out if _is_folder(out) else out.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ValueError(f"icedit edit: got -o {out}, but {folder} cannot be made a folder ({problem}).") from None


async def _edit(arguments: argparse.Namespace) -> int:
    assignments = [settings.parse(text) for text in arguments.settings]
    graph = workflow.read(Path(arguments.workflow)) if workflow.is_file(arguments.workflow) else None
    async with ComfyClient(arguments.server) as client:
        graph = graph or await workflow.shipped(client, arguments.workflow)
        known = await workflow.schemas(client, graph)
        settled = {settings.apply(graph, known, target, value) for target, value in assignments}
        image = (await client.upload_image(arguments.image)).widget
        fill.fill_in(graph, image=image, instruction=arguments.instruction, seed=arguments.seed, settled=settled)
        try:
            with Bar(sys.stderr) as bar:
                result = await client.run(graph, bar.show)
        except PromptRejected as rejection:
            raise ComfyError(workflow.explained(rejection, graph, known)) from rejection
        _repeat_notes(graph, result)
        pictures = _chosen(result)
        targets = _targets(arguments.out, pictures, arguments.overwrite)
        for picture, target in zip(pictures, targets, strict=True):
            _write(target, await client.download(picture))
    return 0


def _repeat_notes(graph: Graph, result: Result) -> None:
    """What our nodes have to say, e.g. that an instruction is in a script which the text encoders do not know."""
    for node_id, node in graph.items():
        if node["class_type"].startswith("ICEdit") and (text := result.text(node_id)):
            print(f"  {node['class_type']}: {text}", file=sys.stderr)


def _chosen(result: Result) -> list[ImageRef]:
    """The pictures that the workflow saves; if it saves none, those that it shows."""
    pictures = result.images()
    saved = [picture for picture in pictures if picture.type == "output"]
    if not pictures:
        raise ComfyError("the workflow ran, but gave no picture. A SaveImage node must be in it.")
    if saved and len(saved) < len(pictures):
        print(f"  {len(pictures) - len(saved)} preview(s) were left on the server", file=sys.stderr)
    return saved or pictures


def _targets(out: Path, pictures: list[ImageRef], overwrite: bool) -> list[Path]:
    """A file for each picture: OUT itself for a single one, numbered for several, in a folder by the server's names.

    Names that are taken are passed over unless they may be overwritten, so that nothing computed is lost.
    """
    if _is_folder(out):
        wanted = [(out / Path(picture.filename).stem, Path(picture.filename).suffix) for picture in pictures]
    else:
        wanted = [(out.with_suffix(""), Path(picture.filename).suffix) for picture in pictures]
    targets: list[Path] = []
    for base, suffix in wanted:
        numbered = not _is_folder(out) and len(pictures) > 1
        number = 1
        target = base.with_name(f"{base.name}_1{suffix}" if numbered else f"{base.name}{suffix}")
        while target in targets or (target.exists() and not overwrite):
            number += 1
            target = base.with_name(f"{base.name}_{number}{suffix}")
        targets.append(target)
    return targets


def _write(target: Path, data: bytes) -> None:
    replaced = target.exists()
    target.write_bytes(data)
    print(f"{target}{' (replaced)' if replaced else ''}", flush=True)


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix
