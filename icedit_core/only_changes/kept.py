"""Keys and values of every block, kept at full steps for the short ones."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

Place = tuple[str, int]  # kind of block, its number


class KeysValues:
    """What the attention of each block saw last, apart for each conditioning: (B, heads, tokens, d) each.

    The order of tokens is [text, picture, references]. A short step brings the text and some of the picture: their
    rows replace the kept ones, and all rows are given back.

    Args:
        device: where they are kept; None for where they come from.
    """

    def __init__(self, device: torch.device | None = None):
        self.device = device
        self._kept: dict[tuple[Place, Hashable], tuple[Tensor, Tensor]] = {}

    def clear(self) -> None:
        self._kept.clear()

    @property
    def bytes(self) -> int:
        return sum(one.nbytes for pair in self._kept.values() for one in pair)

    def has(self, owners: Sequence[Hashable]) -> bool:
        """Whether every one of these conditionings has been through a full step."""
        known = {owner for _, owner in self._kept}
        return bool(owners) and known.issuperset(owners)

    def put(self, place: Place, owners: Sequence[Hashable], keys: Tensor, values: Tensor) -> None:
        """Keep all rows of a full step.

        Args:
            owners: the conditionings in the batch, in order; each has the same share of it.
            keys, values: (len(owners) * B, heads, tokens, d).
        """
        parts = zip(owners, keys.chunk(len(owners)), values.chunk(len(owners)), strict=True)
        for owner, key, value in parts:
            self._kept[place, owner] = (self._own(key), self._own(value))

    def join(
        self, place: Place, owners: Sequence[Hashable], keys: Tensor, values: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """All rows: those of a short step, which are kept too, and the kept ones for the rest.

        Args:
            keys, values: (len(owners) * B, heads, text + len(rows), d).
            rows: (A,) numbers of the picture's tokens that were computed.
        """
        text = keys.shape[2] - len(rows)
        places = torch.cat([torch.arange(text, device=rows.device), text + rows])
        joined = []
        for index, fresh in enumerate((keys, values)):
            parts = []
            for owner, part in zip(owners, fresh.chunk(len(owners)), strict=True):
                kept = self._kept[place, owner][index]
                kept.index_copy_(2, places.to(kept.device), part.to(kept.device, kept.dtype))
                parts.append(kept.to(fresh.device))
            joined.append(parts[0] if len(parts) == 1 else torch.cat(parts))
        return joined[0], joined[1]

    def _own(self, part: Tensor) -> Tensor:
        """A tensor that shares no memory with anything else: a view would hold all that it is a part of."""
        device = self.device or part.device
        return part.detach().to(device, copy=True, memory_format=torch.contiguous_format)


def size(tokens: int, width: int, blocks: int, itemsize: int) -> int:
    """Bytes of the keys and values of `tokens` tokens in all blocks."""
    return 2 * tokens * width * blocks * itemsize
