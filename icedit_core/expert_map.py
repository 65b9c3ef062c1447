"""Which expert took which image token, painted: one small map for each routed layer, one colour for each expert."""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .pixels import grow, resize

WHO = "ICEdit Expert Map"
BLOCKS = ("all", "double", "single", "one")
SMALL, LARGE = 192, 960  # px, the width of a map among others, and of one alone
LINE, PAD = 18, 8  # px, a line of text, and what lies around a map
TINT = 0.65  # how much of a token's colour is its expert's, over a picture
INK, PAPER = "#202020", "#f4f4f4"
COLOURS = ("e69f00", "0072b2", "009e73", "cc79a7", "f0e442", "56b4e9", "d55e00", "666666")  # Okabe and Ito


class Layer(NamedTuple):
    """What one routed layer did with the image's tokens.

    module: name of the Linear it joins; gates: (h, w, experts), 0 for an expert that was not picked.
    """

    module: str
    gates: Tensor

    @property
    def title(self) -> str:
        """`double_blocks.3.img_mlp.2` as `double 3: img_mlp.2`."""
        kind, number, *rest = self.module.split(".")
        return f"{kind.removesuffix('_blocks')} {number}: {'.'.join(rest)}" if rest else self.module


class Adapter(NamedTuple):
    """An adapter with experts, and its routed layers in the order of the model."""

    name: str
    layers: tuple[Layer, ...]


def choose(adapters: list[Adapter], blocks: str, number: int = 0) -> list[Adapter]:
    """The layers to show.

    Args:
        blocks: one of `BLOCKS`.
        number: for `one`, counted from 0 over the layers of each adapter.
    Raises:
        ValueError: nothing is left, or no layer has the number.
    """
    chosen = []
    for adapter in adapters:
        layers = adapter.layers
        if blocks == "one":
            layers = layers[number : number + 1]
        elif blocks != "all":
            layers = tuple(layer for layer in layers if layer.module.startswith(blocks))
        if layers:
            chosen.append(Adapter(adapter.name, layers))
    if not chosen:
        counts = ", ".join(f"{adapter.name} has {len(adapter.layers)}" for adapter in adapters)
        got = f"block {number}" if blocks == "one" else f"blocks '{blocks}'"
        raise ValueError(f"{WHO}: {got}, but layers with experts are needed: {counts}. Choose 'all' to see them.")
    return chosen


def colours(count: int) -> Tensor:
    """(count, 3) RGB in [0, 1]: told apart by colour-blind people up to 8, evenly spaced hues beyond."""
    if count <= len(COLOURS):
        return torch.tensor([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in COLOURS[:count]])
    return torch.tensor([colorsys.hsv_to_rgb(i / count, 0.75, 0.6 + 0.4 * (i % 2)) for i in range(count)])


def one_map(gates: Tensor, width: int, picture: Tensor | None = None, repainted: Tensor | None = None) -> Tensor:
    """Each token a square in its expert's colour; with several experts per token, mixed as their gates are.

    Args:
        gates: (h, w, experts).
        width: about how wide the map is to be, px; a token is a whole number of px.
        picture: (H, W, 3) in [0, 1] that shines through in grey.
        repainted: (h, w) bool; outlined in white.
    Returns:
        (h x n, w x n, 3) float32 in [0, 1].
    """
    height, columns, experts = gates.shape
    side = max(1, round(width / columns))
    shares = gates / gates.sum(-1, keepdim=True).clamp(min=1e-6)
    painted = _enlarged(shares @ colours(experts), side)
    if picture is not None:
        grey = resize(picture[None], (columns * side, height * side))[0].mean(-1, keepdim=True)
        painted = torch.lerp(grey.expand_as(painted), painted, TINT)
    if repainted is not None and not repainted.all():
        inside = F.pad(_enlarged(repainted[..., None].float(), side)[None, ..., 0], (1, 1, 1, 1))
        border = (inside - grow(inside, -1))[0, 1:-1, 1:-1, None]
        painted = torch.lerp(painted, torch.ones_like(painted), border)
    return painted


def sheet(
    adapters: list[Adapter], title: str, picture: Tensor | None = None, repainted: Tensor | None = None
) -> Tensor:
    """All maps of one image, with a legend for each adapter.

    Args:
        title: first line.
        picture, repainted: as for `one_map`.
    Returns:
        (1, H, W, 3) float32 in [0, 1].
    """
    count = max(len(adapter.layers) for adapter in adapters)
    width = LARGE if count == 1 else SMALL
    parts = [[one_map(layer.gates, width, picture, repainted) for layer in adapter.layers] for adapter in adapters]
    tile_height, tile_width = (max(side) for side in zip(*(m.shape[:2] for maps in parts for m in maps), strict=True))
    cell = (tile_width + PAD, tile_height + LINE + PAD)
    columns = max(1, min(count, round((count * cell[1] / cell[0]) ** 0.5)))
    rows = [-(-len(maps) // columns) for maps in parts]
    font = ImageFont.load_default(size=12)
    legends = [_legend(adapter, font) for adapter in adapters]
    words = [font.getlength(title), *(legend[-1][0] for legend in legends)]
    size = (max(columns * cell[0], round(max(words))) + PAD, PAD + sum(LINE * 3 + PAD + r * cell[1] for r in rows))
    canvas = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(canvas)
    top = PAD // 2
    for adapter, legend, maps, lines in zip(adapters, legends, parts, rows, strict=True):
        pen.text((PAD, top), title, fill=INK, font=font)
        pen.text((PAD, top + LINE), adapter.name, fill=INK, font=font)
        for left, text, colour in legend[:-1]:
            pen.rectangle((left, top + 2 * LINE + 2, left + 11, top + 2 * LINE + 13), fill=colour)
            pen.text((left + 16, top + 2 * LINE), text, fill=INK, font=font)
        top += 3 * LINE + PAD // 2
        for index, (layer, painted) in enumerate(zip(adapter.layers, maps, strict=True)):
            left, y = PAD + index % columns * cell[0], top + index // columns * cell[1]
            canvas.paste(Image.fromarray((painted * 255).round().byte().numpy()), (left, y))
            pen.text((left, y + painted.shape[0] + 1), _cut(layer.title, font, tile_width), fill=INK, font=font)
        top += lines * cell[1] + PAD // 2
    return torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255)[None]


def report(adapters: list[Adapter], repainted: Tensor | None = None) -> str:
    """How much each expert took: of the tokens, or of their gates where a token has several experts.

    Args:
        repainted: (h, w) bool; given, and neither empty nor full, repainted and kept tokens are told apart.
    """
    apart = repainted is not None and bool(repainted.any()) and not bool(repainted.all())
    lines = []
    for adapter in adapters:
        lines += [f"{adapter.name}: {len(adapter.layers)} layers; share of expert 0, 1, ... in percent"]
        lines += [f"  all layers: {_percent(_usage(adapter))}"]
        for layer in adapter.layers:
            line = f"  {layer.title}: {_percent(layer.gates.flatten(0, 1).mean(0))}"
            if apart and repainted is not None:
                line += f" (repainted {_percent(layer.gates[repainted].mean(0))}"
                line += f"; kept {_percent(layer.gates[~repainted].mean(0))})"
            lines.append(line)
    return "\n".join(lines)


def summary(adapters: list[Adapter]) -> str:
    """One line for each adapter."""
    return "\n".join(f"{a.name}: {len(a.layers)} layers; experts 0, 1, ...: {_percent(_usage(a))} %" for a in adapters)


def _usage(adapter: Adapter) -> Tensor:
    """Mean gate of each expert over all layers; layers may differ in how many experts they have."""
    most = max(layer.gates.shape[-1] for layer in adapter.layers)
    means = [layer.gates.flatten(0, 1).mean(0) for layer in adapter.layers]
    return torch.stack([F.pad(mean, (0, most - len(mean))) for mean in means]).mean(0)


def _percent(shares: Tensor) -> str:
    return " ".join(f"{100 * float(share):.0f}" for share in shares)


def _enlarged(grid: Tensor, side: int) -> Tensor:
    return grid.repeat_interleave(side, 0).repeat_interleave(side, 1)


def _legend(adapter: Adapter, font) -> list[tuple[int, str, tuple[int, ...]]]:
    """(x, words, colour) of each expert, and at last where the line ends."""
    usage, left, entries = _usage(adapter), PAD, []
    for expert, colour in enumerate(colours(len(usage))):
        words = f"expert {expert}: {100 * float(usage[expert]):.0f} %"
        entries.append((left, words, tuple(int(255 * part) for part in colour)))
        left += 30 + round(font.getlength(words))
    return [*entries, (left, "", ())]


def _cut(text: str, font, width: int) -> str:
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text
