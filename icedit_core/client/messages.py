"""What the client hands out: image references, progress, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Graph = Mapping[str, Mapping[str, Any]]
"""A workflow in the API format: node id -> {class_type, inputs}."""


@dataclass(frozen=True)
class ImageRef:
    """Where the server keeps an image: file name, subfolder, and folder type (input, output or temp)."""

    filename: str
    subfolder: str = ""
    type: str = "output"

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> ImageRef:
        """Read one entry of a node's output, or the answer to an upload."""
        name = data["filename"] if "filename" in data else data["name"]
        return cls(str(name), str(data.get("subfolder") or ""), str(data.get("type") or "output"))

    @property
    def widget(self) -> str:
        """The value for the `image` input of a LoadImage node."""
        path = f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename
        return path if self.type == "input" else f"{path} [{self.type}]"


@dataclass(frozen=True)
class Progress:
    """One step forward of a run.

    Attributes:
        node_id, node_type: the node at work; node_type is empty for nodes that the server made up while running.
        value, max: steps done and steps in all; 0 of 0 when the node has just begun.
    """

    node_id: str
    node_type: str
    value: int
    max: int


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        outputs: node id -> what the node shows, e.g. {"images": [...], "text": [...]}.
        cached: ids of the nodes whose earlier result the server used again.
    """

    prompt_id: str
    outputs: dict[str, dict[str, Any]]
    cached: frozenset[str]

    def images(self, node_id: str | None = None) -> list[ImageRef]:
        """The images of one node, or of all nodes in the order of their ids."""
        ids = sorted(self.outputs) if node_id is None else [node_id]
        return [ImageRef.parse(entry) for i in ids for entry in self.outputs.get(i, {}).get("images", [])]

    def text(self, node_id: str) -> str:
        """What a node shows as text ("" if it shows none)."""
        return "\n".join(str(line) for line in self.outputs.get(node_id, {}).get("text", []))
