"""One double and one single block of FLUX.1 dev in the host's own classes, and X2Edit's experts on them in two ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from icedit_core.adapters.attach import Attachment, Overrides, Slot
from icedit_core.adapters.moe import MoELoRA
from icedit_core.adapters.weights import LowRank, Routed

RANK, EXPERTS, TOP_K = 64, 12, 2
WIDTH, TEXT, IMAGE, SOURCE = 3072, 512, 4096, 4096  # SOURCE and IMAGE: 1024 x 1024 px
ROWS = 128  # by which the source stands further down
DEPTH = {"double": 19, "single": 38}
LAYERS = {  # Linear -> experts on it as (first column in widths, whether they read the Linear's output)
    "double": {"img_attn.qkv": ((0, False), (1, False), (2, False)), "img_attn.proj": ((0, True),)},
    "single": {"linear1": ((0, False), (1, False), (2, False))},
}
PER_BLOCK = {kind: sum(map(len, layers.values())) for kind, layers in LAYERS.items()}


def share(experts: int) -> float:
    """Multiplications of X2Edit in 19 + 38 blocks over those of the blocks themselves.

    Args:
        experts: how many of a layer are computed for a token, the shared one included.
    """
    tokens = {"double": IMAGE + SOURCE, "single": TEXT + IMAGE + SOURCE}
    every = TEXT + IMAGE + SOURCE
    base = sum(DEPTH.values()) * every * (12 * WIDTH**2 + 2 * every * WIDTH)
    layer = WIDTH * (EXPERTS + 2 * experts * RANK)  # router, down, up
    return sum(DEPTH[kind] * PER_BLOCK[kind] * tokens[kind] * layer for kind in DEPTH) / base


def random_routed(width: int, draw: torch.Generator, dtype: torch.dtype, reads_output: bool) -> Routed:
    def matrix(rows: int, columns: int, scale: float) -> Tensor:
        return (torch.randn(rows, columns, generator=draw) * scale).to(dtype)

    def pair() -> LowRank:
        return LowRank(matrix(RANK, width, width**-0.5), matrix(width, RANK, 0.02))

    router = matrix(EXPERTS, 2 * width, width**-0.5)
    return Routed(router, tuple(pair() for _ in range(EXPERTS)), pair(), "softmax_then_top_k", reads_output)


def by_gathering(x: Tensor, routed: Routed, task: Tensor) -> Tensor:
    """The update of tokens x (B, N, in) as X2Edit's own layer computes it.

    Each expert gathers the tokens that chose it and scatters its weighted outputs back, one expert after the other.
    """
    tokens, width = x.flatten(0, -2), x.shape[-1]  # (tokens, in)
    read = torch.cat([x, task.expand(*x.shape[:-1], -1)], dim=-1).flatten(0, -2)
    gates, picks = F.linear(read, routed.router).softmax(dim=-1).topk(TOP_K, dim=-1, sorted=False)
    order = picks.flatten().argsort()
    ends = picks.flatten().bincount(minlength=EXPERTS).cumsum(0).tolist()
    total, start = torch.zeros_like(tokens), 0
    for expert, end in zip(routed.experts, ends, strict=True):
        if start < end:
            mine = order[start:end] // TOP_K
            out = F.linear(F.linear(tokens[mine], expert.down), expert.up)
            out.mul_(gates.flatten()[order[start:end]].unsqueeze(-1))
            total.scatter_reduce_(0, mine.view(-1, 1).repeat(1, width), out, reduce="sum")
        start = end
    assert routed.shared is not None
    return (total + F.linear(F.linear(tokens, routed.shared.down), routed.shared.up)).view_as(x)


class Block:
    """A block with random weights, its inputs, and the ways to run it: plain, ours, and as published."""

    def __init__(self, host: ModuleType, kind: str, dtype: torch.dtype, device: torch.device):
        draw = torch.Generator().manual_seed(0)
        self.network = one_block(host, kind, dtype, draw, device)
        self.inner = self.network.get_submodule(f"{kind}_blocks.0")
        self.kind, self.call = kind, host.attention
        task = torch.randn(WIDTH, generator=draw).to(device, dtype)
        slots: dict[str, list[Slot]] = {}
        published: dict[str, list[tuple[int, Routed]]] = {}
        for name, layers in LAYERS[kind].items():
            for start, reads_output in layers:
                routed = random_routed(WIDTH, draw, dtype, reads_output)
                layer = MoELoRA(routed, TOP_K, dtype, context=task.cpu()).to(device)
                slots.setdefault(name, []).append(Slot(layer, start * WIDTH, reads_output))
                published.setdefault(name, []).append((start * WIDTH, routed))
        makers = {name: partial(_gathering, layers, task) for name, layers in published.items()}
        self.over = {"base": None, "again": None, "ours": Attachment(slots), "published": Overrides(makers)}
        self.start = [torch.randn(1, n, WIDTH, generator=draw).to(device, dtype) for n in (TEXT, IMAGE + SOURCE)]
        self.vec = torch.randn(1, WIDTH, generator=draw).to(device, dtype)
        self.pe = self.network.pe_embedder(_positions(device))
        self.text, self.image = self.joined = [part.clone() for part in self.start]

    def renew(self) -> None:
        """The blocks write into their inputs: give them the first ones again, outside of what is timed."""
        for part, first in zip(self.joined, self.start, strict=True):
            part.copy_(first)

    def ways(self) -> dict[str, Callable[[], Tensor]]:
        return {name: partial(self._run, over) for name, over in self.over.items()}

    def _run(self, over: Overrides | None) -> Tensor:
        if over is None:
            return self._plain()
        with over.on(self.inner):
            return self._plain()

    def _plain(self) -> Tensor:
        options = {"optimized_attention_override": self.call}
        if self.kind == "double":
            out: Tensor = self.inner(self.image, self.text, self.vec, self.pe, transformer_options=options)[0]
            return out
        joined: Tensor = self.inner(torch.cat(self.joined, dim=1), self.vec, self.pe, transformer_options=options)
        return joined[:, TEXT:]


def _gathering(layers: list[tuple[int, Routed]], task: Tensor, previous: Callable) -> Callable:
    def forward(x: Tensor) -> Tensor:
        y: Tensor = previous(x)
        for start, routed in layers:
            rows = y.narrow(-1, start, WIDTH)
            rows += by_gathering(rows if routed.reads_output else x, routed, task)
        return y

    return forward


def _positions(device: torch.device) -> Tensor:
    """(1, tokens, 3): index, row, column of text, image and source."""
    side = int(IMAGE**0.5)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = torch.stack([torch.zeros(IMAGE), rows.flatten(), columns.flatten()], dim=-1)
    source = image + torch.tensor([0, ROWS, 0])
    return torch.cat([torch.zeros(TEXT, 3), image, source])[None].to(device)


def one_block(
    host: ModuleType, kind: str, dtype: torch.dtype, draw: torch.Generator, device: torch.device
) -> nn.Module:
    """A FLUX.1 dev of full width with this one block alone."""
    network: nn.Module = host.flux(
        dtype=dtype,
        device="cpu",
        operations=host.ops,
        image_model="flux",
        in_channels=16,
        out_channels=16,
        vec_in_dim=768,
        context_in_dim=4096,
        hidden_size=WIDTH,
        mlp_ratio=4.0,
        num_heads=WIDTH // 128,
        depth=int(kind == "double"),
        depth_single_blocks=int(kind == "single"),
        axes_dim=[16, 56, 56],
        theta=10000,
        patch_size=2,
        qkv_bias=True,
        guidance_embed=True,
        txt_ids_dims=[],
    )
    for name, weight in network.named_parameters():
        weight.requires_grad_(False)
        if weight.ndim == 2:
            weight.normal_(0, weight.shape[1] ** -0.5, generator=draw)
        else:
            weight.fill_(1.0 if "norm" in name else 0.0)
    return network.to(device)
