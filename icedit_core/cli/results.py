"""Which pictures of a finished run are fetched, and what its nodes have to say."""

from __future__ import annotations

from pathlib import Path

from .. import foreign
from ..client import ComfyError, Graph, ImageRef, Result, UnexpectedAnswer
from . import fill, pictures

MOST_PICTURES = 500


def chosen(result: Result) -> tuple[list[ImageRef], list[str]]:
    """The pictures that the workflow saves, or those that it shows if it saves none; and what was left out.

    Raises:
        ComfyError: there is no picture.
    """
    found: list[ImageRef] = []
    left: list[str] = []
    entries = result.image_entries()
    for entry in entries[:MOST_PICTURES]:
        try:
            found.append(ImageRef.parse(entry))
        except UnexpectedAnswer as problem:
            left.append(f"one picture is left out: {problem}")
    if len(entries) > MOST_PICTURES:
        left.append(
            f"{len(entries) - MOST_PICTURES} more pictures are left on the server; {MOST_PICTURES} are taken at most"
        )
    saved = [picture for picture in found if picture.type == "output"]
    if not found:
        raise ComfyError("the workflow ran, but gave no picture. A SaveImage node must be in it.")
    if saved and len(saved) < len(found):
        left.append(f"{len(found) - len(saved)} preview(s) were left on the server")
    return saved or found, left


def notes(graph: Graph, result: Result) -> list[str]:
    """What our nodes have to say, e.g. that an instruction is in a script which the text encoders do not know."""
    return [
        f"{foreign.line(node['class_type'])}: {foreign.indented(text)}"
        for node_id, node in graph.items()
        if node["class_type"].startswith("ICEdit") and (text := result.text(node_id))
    ]


def transparency(file: Path, graph: fill.Graph, image: str) -> str:
    """A warning if the picture's transparency is lost, or "".

    LoadImage's picture has no transparency; its mask, if the workflow takes it, is made of it.
    """
    loaders = {i for i, node in graph.items() if node["inputs"].get("image") == image}
    uses = [link[1] for _, link in fill.links(graph) if link[0] in loaders]
    if not set(uses) <= {0} or not pictures.is_transparent(file):
        return ""
    return f"{file} is transparent in parts; ComfyUI drops that and shows the colours beneath. Flatten it before."
