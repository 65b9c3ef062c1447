"""Routed layers join a model by module name for the length of a call, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from .moe import MoELoRA

Forward = Callable[..., Tensor]


@dataclass(frozen=True)
class Slot:
    """Where a routed layer adds its update: rows `start : start + layer.out_features` of a Linear's output.

    FLUX checkpoints in the host's layout fuse q, k, v (and mlp) into one Linear, so a layer may own some rows only.
    `reads_output`: the router and the experts read those rows of the Linear's output, not its input.
    """

    layer: MoELoRA
    start: int = 0
    reads_output: bool = False

    def add(self, y: Tensor, x: Tensor, strength: float) -> None:
        """Accumulate into the Linear's output y (..., out), given its input x (..., in)."""
        rows = y.narrow(-1, self.start, self.layer.out_features)
        self.layer.add_to(rows, rows if self.reads_output else x, strength)


class Attachment:
    """Routed layers by the name of the Linear they join, in force inside `with attachment.on(model):`.

    The wrapped forwards are kept and reused, so torch.compile sees the same callables at every step. Attachments nest:
    an inner one calls what the outer one put in place.

    Args:
        slots: module name, e.g. "double_blocks.0.img_mlp.2" -> the layers that add to it.
        strength: the user's multiplier of every update.
    """

    def __init__(self, slots: Mapping[str, Sequence[Slot]], strength: float = 1.0):
        self.slots = {name: tuple(layers) for name, layers in slots.items()}
        self.strength = strength
        self._wrapped: dict[str, tuple[nn.Module, Forward | None, Forward]] = {}

    @contextmanager
    def on(self, root: nn.Module) -> Iterator[None]:
        """Put every layer in force on `root` and take it off again, also after an exception.

        Raises:
            AttributeError: a named module is not there.
        """
        modules = {name: root.get_submodule(name) for name in self.slots}
        before = {name: vars(module).get("forward") for name, module in modules.items()}
        try:
            for name, module in modules.items():
                module.forward = self._forward(name, module, before[name])  # type: ignore[method-assign]
            yield
        finally:
            for name, module in modules.items():
                vars(module).pop("forward", None)
                if (previous := before[name]) is not None:
                    module.forward = previous  # type: ignore[method-assign]

    def _forward(self, name: str, module: nn.Module, before: Forward | None) -> Forward:
        known = self._wrapped.get(name)
        if known is None or known[0] is not module or known[1] is not before:
            wrapped = _adding(before or module.forward, self.slots[name], self.strength)
            known = self._wrapped[name] = (module, before, wrapped)
        return known[2]


def _adding(previous: Forward, slots: Sequence[Slot], strength: float) -> Forward:
    def forward(x: Tensor, *args, **kwargs) -> Tensor:
        y = previous(x, *args, **kwargs)
        for slot in slots:
            slot.add(y, x, strength)
        return y

    return forward
