"""Attention values of the source, handed over to the target block by block."""

from collections.abc import Callable, Sequence

from torch import Tensor

from .plan import WHO, Key

Block = tuple[str, int]
"""Kind and number, as ("single", 7)."""
DOUBLE, SINGLE, JOINT = "double", "single", "joint"
LATE = 20
_VITAL = {DOUBLE: {0, 1, 17, 18}, SINGLE: {6, 9, 34, 35, 37}}
RULES: dict[str, Callable[[Block], bool]] = {
    "single": lambda block: block[0] == SINGLE,
    "late_single": lambda block: block[0] == SINGLE and block[1] >= LATE,
    "vital": lambda block: block[1] in _VITAL.get(block[0], ()),
    "joint": lambda block: block[0] == JOINT,
    "all": lambda block: True,
}
"""Which blocks hand over values.

single: DirectEdit's on FLUX. late_single: RF-Solver-Edit's, 20 to 37. vital: Stable Flow's (its published code). joint:
DirectEdit's on SD3.5.
"""
SCOPES = ("all", "image")
SHARE = 0.5  # of the free main memory that captured values may take


def rule(choice: str, method: str, blocks: Sequence[Block], name: str, who: str = WHO) -> set[Block]:
    """The blocks of a model that a choice names.

    Args:
        choice: "published" or one of RULES.
        method: whose published choice it is.
        blocks: the model's.
        name: what people call the model.
        who: the node that speaks.
    Raises:
        ValueError: none of the model's blocks is meant.
    """
    joint = any(kind == JOINT for kind, _ in blocks)
    if choice == "published":
        choice = "joint" if joint else "late_single" if method == "rf_solver" else "single"
    chosen = {block for block in blocks if RULES[choice](block)}
    if not chosen:
        kinds = {kind: sum(one == kind for one, _ in blocks) for kind, _ in blocks}
        has = " and ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no known"
        raise ValueError(
            f"{who}: blocks is '{choice}', but {name} has {has} blocks and none of them is meant. Choose 'all', or "
            "hand over no values."
        )
    return chosen


class Values:
    """Values by key and block, in main memory, captured in one model call and injected in another.

    Args:
        blocks: which blocks hand values over.
        scope: "all" tokens, text included, or "image" tokens alone.
        keys: how many keys will be captured.
        store: "memory": all of the inversion's. "replay": one key's at a time. "auto": memory where all of them take no
            more than half of what is free.
        free: gives the free main memory in bytes.
        into: places among the target's image tokens that the source's go to, (source's image tokens,); None where both
            have the same tokens. The text's values then stay the target's.
        who: the node that speaks.
    """

    def __init__(
        self,
        blocks: set[Block],
        scope: str,
        keys: int,
        store: str,
        free: Callable[[], int],
        into: Tensor | None = None,
        who: str = WHO,
    ):
        self.blocks, self.scope, self.keys, self.free = blocks, scope, keys, free
        self.into, self.who = into, who
        self.ahead, self.auto = store != "replay", store == "auto"
        self.bytes = self.most = 0  # now, and at most so far
        self.texts_differ = False
        self._kept: dict[Key, dict[Block, tuple[Tensor, int]]] = {}
        self._key: Key | None = None
        self._injecting = False
        self._reached: set[Block] = set()

    def holds(self, key: Key) -> bool:
        return key in self._kept

    def begin(self, key: Key | None, inject: bool) -> None:
        """From now on the blocks' values belong to this key."""
        self._key, self._injecting, self._reached = key, inject, set()
        if key is not None and not inject:
            self.drop(key)  # half of a step that did not fit

    def end(self) -> None:
        """Close the key; drop what was injected, or what does not fit.

        Raises:
            ValueError: not all blocks asked for their values.
        """
        key, self._key = self._key, None
        if key is None:
            return
        if missing := self.blocks - self._reached:
            raise ValueError(
                f"{self.who}: {len(missing)} of {len(self.blocks)} blocks did not hand over their values in a model "
                "call. Take out nodes that skip or replace the model's blocks, or hand over no values."
            )
        if self._injecting:
            self.drop(key)
        elif self.auto and self.ahead and len(self._kept) == 1 and self.bytes * self.keys > SHARE * self.free():
            self.ahead = False
            self.drop(key)

    def drop(self, key: Key) -> None:
        for value, _ in self._kept.pop(key, {}).values():
            self.bytes -= value.nbytes

    def clear(self) -> None:
        self._kept.clear()
        self._key, self.bytes = None, 0

    def report(self, steps: int) -> str:
        """What was handed over, in words."""
        how = "captured in the inversion" if self.ahead else "captured step by step"
        size = f"{self.most / 2**20:.1f} MiB"
        said = f"Values of {len(self.blocks)} blocks in {steps} steps, {how}: {size}."
        if self.texts_differ:
            said += " The prompts have different numbers of tokens, so image tokens alone were handed over."
        return said

    def at(self, block: Block, values: Tensor, sides: Sequence[int], text: int) -> Tensor:
        """What a block takes for its values.

        Args:
            values: (rows, ..., tokens, dim), the text's tokens first.
            sides: what each equal part of the rows belongs to; 0 is the prompt, others are never touched.
            text: how many tokens are the text's.
        """
        if self._key is None or block not in self.blocks or 0 not in sides:
            return values
        if list(sides).count(0) > 1 or block in self._reached:
            raise ValueError(
                f"{self.who}: a conditioning has several parts, but values can be handed over between conditionings of "
                "one part. Use one text a side without combining or areas, or hand over no values."
            )
        self._reached.add(block)
        rows = len(values) // len(sides)
        own = slice(rows * list(sides).index(0), rows * (list(sides).index(0) + 1))
        if self._injecting:
            return self._injected(block, values, own, text)
        left_out = text if self.scope == "image" else 0
        kept = values[own][..., left_out:, :].to("cpu", copy=True)
        self._kept.setdefault(self._key, {})[block] = (kept, text - left_out)
        self.bytes += kept.nbytes
        self.most = max(self.most, self.bytes)
        return values

    def _injected(self, block: Block, values: Tensor, own: slice, text: int) -> Tensor:
        kept, kept_text = self._kept[self._key][block]  # type: ignore[index]
        image = values.shape[-2] - text if self.into is None else len(self.into)
        if kept.shape[-2] - kept_text != image:
            raise ValueError(
                f"{self.who}: source and target have {kept.shape[-2] - kept_text} and {image} image tokens, but equal "
                "numbers are needed. Give both conditionings the same reference latents."
            )
        if kept_text != text and self.scope == "all":
            self.texts_differ = True
        tokens = kept.shape[-2] if kept_text == text and self.scope == "all" else image
        result = values.clone()
        if self.into is not None:
            result[own][..., text + self.into.to(result.device), :] = kept[..., kept_text:, :].to(values)
            return result
        result[own][..., -tokens:, :] = kept[..., -tokens:, :].to(values)
        return result
