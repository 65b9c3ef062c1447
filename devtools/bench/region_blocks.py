"""One double and one single block of FLUX.1 at full width: full steps, short steps, and core's reference cache."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from . import x2_blocks
from .x2_blocks import DEPTH, WIDTH

SHARES = (0.05, 0.2, 0.6)


class Size(NamedTuple):
    """Tokens of a sampling: text, the picture (of a diptych both panels), the reference."""

    text: int
    picture: int
    reference: int


SIZES = {
    "1024 x 512 diptych": Size(512, 2048, 0),
    "1 MP with a reference": Size(512, 4096, 4096),
    "4 MP with a reference": Size(512, 16384, 16384),
}


class Block:
    """A block with random weights; stock, and with the pack's hooks as a full and as short steps."""

    def __init__(self, host: ModuleType, kind: str, size: Size, device: torch.device):
        draw = torch.Generator().manual_seed(0)
        self.kind, self.size, self.stock = kind, size, host.attention
        self.network = x2_blocks.one_block(host, kind, torch.float32, draw, device)
        self.inner = self.network.get_submodule(f"{kind}_blocks.0")
        steps = importlib.import_module("icedit_pack.nodes.host.short_steps")
        kept = importlib.import_module("icedit_pack.icedit_core.only_changes.kept")
        self.call, self.hooks = steps.Call, steps.Hooks(kept.KeysValues())
        self.attend = self.hooks.attention(host.attention)
        image = size.picture + size.reference
        self.text, self.image = (torch.randn(1, n, WIDTH, generator=draw).to(device) for n in (size.text, image))
        self.vec = torch.randn(1, WIDTH, generator=draw).to(device)
        self.ids = torch.zeros(1, size.text + image, 3, device=device)
        self.ids[0, size.text :, 1] = torch.arange(image, device=device)
        self.rows = {share: self._rows(share, draw).to(device) for share in SHARES}

    def _rows(self, share: float, draw: torch.Generator) -> Tensor:
        return torch.randperm(self.size.picture, generator=draw)[: round(share * self.size.picture)].sort().values

    def ways(self) -> dict[str, Callable[[], Tensor]]:
        """`full` comes before every short step: it keeps what those read."""
        whole = torch.arange(self.image.shape[1], device=self.image.device)
        full = self.call(("one",), None, self.size.picture, True)
        made = {
            "stock": partial(self._run, whole, self.stock, None),
            "full": partial(self._run, whole, self.attend, full),
        }
        for share, rows in self.rows.items():
            made[f"short {share:.0%}"] = partial(self._run, rows, self.attend, full._replace(rows=rows, keep=False))
        if self.size.reference:
            made["reference cached"] = partial(self._run, whole[: self.size.picture], self._with_reference, None)
        return made

    def warm(self) -> None:
        """A stock step first: the first one of a size takes longer, since its memory is new."""
        self.ways()["stock"]()

    def _run(self, rows: Tensor, attend: Callable, call) -> Tensor:
        """The block on some of the picture's tokens, beginning with the positions, as the host does."""
        self.hooks.call = call
        options = {
            "optimized_attention_override": attend,
            "block_type": self.kind,
            "block_index": 0,
        }
        text = self.size.text
        places = torch.cat([torch.arange(text, device=rows.device), text + rows])
        pe = self.network.pe_embedder(self.ids[:, places])
        image = self.image[:, rows].clone()  # the blocks write into their inputs
        if self.kind == "double":
            return self.inner(image, self.text.clone(), self.vec, pe, transformer_options=options)[0]
        return self.inner(torch.cat([self.text, image], dim=1), self.vec, pe, transformer_options=options)

    def _with_reference(self, func, q, k, v, heads, *args, **kwargs):
        """Core's Flux KV Cache: the reference's keys and values are kept, all of the picture is computed."""
        k, v = (torch.cat([one, self._kept_reference(one)], dim=2) for one in (k, v))
        return self.stock(func, q, k, v, heads, *args, **kwargs)

    def _kept_reference(self, like: Tensor) -> Tensor:
        return like[:, :, -self.size.reference :]


def whole_edit(seconds: dict[str, dict[str, float]], share: str, computed: float | None = None) -> dict[str, float]:
    """How many times faster 28 steps are than stock, from one block of each kind: seconds[kind][way].

    spot: 5 full and 23 short steps. region: 9 and 19; with its velocities 14 of the 19 need no model call.

    Args:
        computed: how many of the 28 steps EasyCache does not skip; a skipped one costs nothing.
    """
    cost = {way: sum(DEPTH[kind] * seconds[kind][way] for kind in DEPTH) for way in next(iter(seconds.values()))}
    stock, full, short = 28 * cost["stock"], cost["full"], cost[share]
    found = {
        "spot": stock / (5 * full + 23 * short),
        "region": stock / (9 * full + 19 * short),
        "region, velocities reused": stock / (9 * full + 5 * short),
    }
    if "reference cached" in cost:
        found["Flux KV Cache"] = stock / (cost["stock"] + 27 * cost["reference cached"])
    if computed:
        found["EasyCache"] = 28 / computed
    return found
