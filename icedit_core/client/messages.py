"""What the client hands out: image references, progress, results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import foreign
from .errors import UnexpectedAnswer, as_list, as_object

Graph = Mapping[str, Mapping[str, Any]]
"""A workflow in the API format: node id -> {class_type, inputs}."""

LONGEST_NAME = 1000


@dataclass(frozen=True)
class ImageRef:
    """Where the server keeps an image: file name, subfolder, and folder type (input, output or temp)."""

    filename: str
    subfolder: str = ""
    type: str = "output"

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> ImageRef:
        """Read one entry of a node's output, or the answer to an upload.

        Raises:
            UnexpectedAnswer: there is no file name in it that a file can have.
        """
        data = as_object(data)
        name, folder, kind = data.get("filename") or data.get("name"), data.get("subfolder"), data.get("type")
        texts = [name, folder or "", kind or "output"]
        if not all(isinstance(text, str) and len(text) <= LONGEST_NAME and foreign.is_plain(text) for text in texts):
            raise UnexpectedAnswer(f"ComfyClient: {foreign.line(data)} came, but an image with a file name is needed.")
        return cls(*map(str, texts))

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
        ids = None if node_id is None else [node_id]
        return [ImageRef.parse(entry) for entry in self.image_entries(ids)]

    def image_entries(self, node_ids: Iterable[str] | None = None) -> list[Any]:
        """What the nodes show as images, each for `ImageRef.parse`: one odd entry need not cost the others."""
        ids = sorted(self.outputs) if node_ids is None else node_ids
        return [entry for node_id in ids for entry in as_list(self._shown(node_id).get("images"))]

    def text(self, node_id: str) -> str:
        """What a node shows as text ("" if it shows none)."""
        text = self._shown(node_id).get("text")
        return text if isinstance(text, str) else "\n".join(map(str, as_list(text)))

    def _shown(self, node_id: str) -> Mapping[str, Any]:
        return as_object(self.outputs.get(node_id))
