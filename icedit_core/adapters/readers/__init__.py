"""One published file format a module, and the table of them; `read` gives an Adapter or says why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from torch import Tensor

from .. import families
from ..names import listed
from ..weights import Adapter
from . import icedit, x2edit

__all__ = ["FORMATS", "Format", "read"]

_WHO = "ICEdit adapter"


class Format(NamedTuple):
    """A file format.

    name, node: for people: what such a file is, and which node loads it on which model.
    claims: whether a file is of this format, by the names of its tensors.
    read: tensors -> Adapter.
    contexts: what its routers read beside the token and a node must choose, `Adapter.contexts`.
    """

    name: str
    node: str
    claims: Callable[[Collection[str]], bool]
    read: Callable[[Mapping[str, Tensor]], Adapter]
    contexts: tuple[str, ...] = ()


FORMATS = (
    Format("X2Edit's adapter", "ICEdit X2 Adapter, on FLUX.1 dev", x2edit.claims, x2edit.read, (x2edit.TASK,)),
    Format("ICEdit's LoRA-MoE or a plain LoRA", "ICEdit Load LoRA, on FLUX.1 Fill", icedit.claims, icedit.read),
)
"""Asked in this order."""


def read(tensors: Mapping[str, Tensor], contexts: Collection[str] = ()) -> Adapter:
    """Read an adapter of any format in the table.

    Args:
        tensors: file key -> tensor; names are looked at before the first tensor.
        contexts: what the caller can choose for the routers.
    Raises:
        ValueError: empty file, one that no reader knows, one that needs another node, or what its reader refuses.
    """
    if not tensors:
        raise ValueError(f"{_WHO}: the file holds no tensors, but LoRA matrices are needed. Download it again.")
    for known in FORMATS:
        if known.claims(tensors):
            if set(known.contexts) - set(contexts):
                raise ValueError(
                    f"{_WHO}: this is {known.name} ({listed(tensors, 1)}), but ICEdit's or a plain LoRA is needed. "
                    f"Load it with {known.node}."
                )
            return known.read(tensors)
    families.check(tensors)
    several = ", ".join(f"{known.name} ({known.node})" for known in FORMATS)
    raise ValueError(
        f"{_WHO}: {len(tensors)} of {len(tensors)} tensors are of no layout known here: {listed(tensors)}. "
        f"Known are {several}; for other kinds use ComfyUI's own LoRA loader."
    )
