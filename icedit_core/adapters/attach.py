"""Routed layers join a model by module name for the length of a call, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from .moe import MoELoRA

Forward = Callable[..., Any]


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


class Overrides:
    """Other forwards for some modules, in force inside `with overrides.on(model):`.

    They are kept and reused, so torch.compile sees the same callables at every step. Overrides nest: an inner one
    calls what the outer one put in place.

    Args:
        makers: module name, e.g. "double_blocks.0.img_mlp.2" -> makes its forward of the one in force before.
    """

    def __init__(self, makers: Mapping[str, Callable[[Forward], Forward]]):
        self.makers = dict(makers)
        self._made: dict[str, tuple[nn.Module, Forward | None, Forward]] = {}

    @contextmanager
    def on(self, root: nn.Module) -> Iterator[None]:
        """Put every forward in force on `root` and take it off again, also after an exception.

        Raises:
            AttributeError: a named module is not there.
        """
        modules = {name: root.get_submodule(name) for name in self.makers}
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
        known = self._made.get(name)
        if known is None or known[0] is not module or known[1] is not before:
            made = self.makers[name](before or module.forward)
            known = self._made[name] = (module, before, made)
        return known[2]


class Attachment(Overrides):
    """Routed layers by the name of the Linear they join, in force inside `with attachment.on(model):`.

    Args:
        slots: module name -> the layers that add to it.
        strength: the user's multiplier of every update.
    """

    def __init__(self, slots: Mapping[str, Sequence[Slot]], strength: float = 1.0):
        super().__init__({name: partial(_adding, tuple(layers), strength) for name, layers in slots.items()})


def _adding(slots: Sequence[Slot], strength: float, previous: Forward) -> Forward:
    def forward(x: Tensor, *args, **kwargs) -> Tensor:
        y = previous(x, *args, **kwargs)
        for slot in slots:
            slot.add(y, x, strength)
        return y

    return forward
