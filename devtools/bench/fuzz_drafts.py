"""An adapter file in parts, valid ones to begin with, and its bytes: what the fuzz changes and packs again."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import dataclass, field, replace

import torch
from safetensors.torch import save
from torch import Tensor

DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F6_E2M3", "F4", "I64", "U64",
          "I32", "I16", "U16", "I8", "U8", "BOOL", "C64", "f32", "")  # fmt: skip
LAYERS = (
    "transformer.transformer_blocks.0.ff.net.2",
    "single_transformer_blocks.3.proj_out",
    "diffusion_model.double_blocks.0.img_mlp.2",
    "base_model.model.x_embedder",
    "lora_unet_single_blocks_0_linear2",
)


@dataclass(frozen=True)
class Entry:
    name: str
    dtype: str
    shape: tuple
    data: bytes


@dataclass(frozen=True)
class Draft:
    """A file whose offsets follow from its entries."""

    entries: tuple[Entry, ...]
    metadata: dict = field(default_factory=dict)

    def pack(self) -> bytes:
        """The file; entries of one name stay two, which a dict could not say."""
        parts = [f'"__metadata__":{json.dumps(self.metadata)}'] if self.metadata else []
        start = 0
        for entry in self.entries:
            end = start + len(entry.data)
            about = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [start, end]}
            parts.append(f"{json.dumps(entry.name)}:{json.dumps(about)}")
            start = end
        header = ("{" + ",".join(parts) + "}").encode()
        return framed(header, b"".join(entry.data for entry in self.entries))

    def having(self, index: int, **changes) -> Draft:
        entries = list(self.entries)
        entries[index] = replace(entries[index], **changes)
        return replace(self, entries=tuple(entries))


def framed(header: bytes, body: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def split(data: bytes) -> tuple[bytes, bytes]:
    """Header and body as the first eight bytes say; a broken length gives all to the header."""
    length = min(int.from_bytes(data[:8], "little"), len(data))
    return data[8 : 8 + length], data[8 + length :]


def parsed(data: bytes) -> Draft:
    """The draft behind a valid file."""
    header, body = split(data)
    about = json.loads(header)
    metadata = about.pop("__metadata__", {})
    entries = [
        Entry(name, one["dtype"], tuple(one["shape"]), body[slice(*one["data_offsets"])]) for name, one in about.items()
    ]
    return Draft(tuple(entries), metadata)


def starts(draw: random.Random) -> list[Draft]:
    """Valid files: plain and routed layers in both namings, of several dtypes, with and without alpha and top_k."""
    made = [
        (_plain(LAYERS[0], draw), {}),
        (_plain(LAYERS[4], draw, ("lora_down", "lora_up"), torch.float16) | _alpha(LAYERS[4]), {}),
        (_plain(LAYERS[3], draw, ("lora_A.default", "lora_B.default"), torch.bfloat16), {}),
        (_routed(LAYERS[0], draw, 4), {"format": "pt"}),
        (_routed(LAYERS[1], draw, 1) | _plain(LAYERS[2], draw), {"top_k": "1"}),
        (_routed(LAYERS[2], draw, 2, torch.bfloat16) | _alpha(LAYERS[2]), {"top_k": "2"}),
    ]
    return [parsed(save(tensors, metadata)) for tensors, metadata in made]


def _plain(layer: str, draw: random.Random, sides=("lora_A", "lora_B"), dtype=torch.float32) -> dict[str, Tensor]:
    rank, wide, out = draw.randint(1, 4), draw.randint(1, 6), draw.randint(1, 6)
    return {
        f"{layer}.{sides[0]}.weight": torch.full((rank, wide), 0.5, dtype=dtype),
        f"{layer}.{sides[1]}.weight": torch.full((out, rank), 0.25, dtype=dtype),
    }


def _routed(layer: str, draw: random.Random, experts: int, dtype=torch.float32) -> dict[str, Tensor]:
    rank, wide, out = draw.randint(1, 3), draw.randint(1, 5), draw.randint(1, 5)
    tensors = {f"{layer}.lora_route.weight": torch.full((experts, wide), 0.5, dtype=dtype)}
    for index in range(experts):
        tensors[f"{layer}.lora_A.expert_{index}.weight"] = torch.full((rank, wide), 0.5, dtype=dtype)
        tensors[f"{layer}.lora_B.expert_{index}.weight"] = torch.full((out, rank), 0.25, dtype=dtype)
    return tensors


def _alpha(layer: str) -> dict[str, Tensor]:
    return {f"{layer}.alpha": torch.tensor(2.0)}
