"""The hooks that let a model compute some of its tokens: fewer into the blocks, kept keys and values beside them.

FLUX and Qwen-Image both hand out their tokens before the positions are made (`post_input`), ask for every attention
(`optimized_attention_override`), and let a block be replaced: the last one puts the tokens back, because what follows
it folds them to a picture. All hooks live in the options of one sampling; no class and no module is changed.
"""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ...icedit_core.only_changes.kept import KeysValues


class Call(NamedTuple):
    """One model call. owners: its conditionings; rows: the picture's tokens to compute, None for all."""

    owners: tuple[Hashable, ...]
    rows: Tensor | None
    tokens: int  # of the whole picture, without references
    keep: bool  # a full call whose keys and values a later short one needs


class Hooks:
    """`call` says what the running model call does; None leaves it alone."""

    def __init__(self, kept: KeysValues):
        self.kept = kept
        self.call: Call | None = None

    def install(self, options: dict[str, Any], network: nn.Module) -> None:
        """Join whatever is in the transformer options of a sampling, which must be its own copy."""
        patches = options.get("patches", {})
        options["patches"] = patches | {"post_input": [*patches.get("post_input", []), self.drop]}
        replaced = options.get("patches_replace", {})
        blocks, last = replaced.get("dit", {}), last_block(network)
        options["patches_replace"] = replaced | {"dit": blocks | {last: self.put_back(blocks.get(last))}}
        options["optimized_attention_override"] = self.attention(options.get("optimized_attention_override"))

    def drop(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Leave the chosen tokens of the picture; the references go too, their keys and values are kept."""
        if self.call is None or self.call.rows is None:
            return inputs
        rows = self.call.rows
        return inputs | {"img": inputs["img"][:, rows], "img_ids": inputs["img_ids"][:, rows]}

    def attention(self, before: Callable | None) -> Callable:
        def attend(func, q, k, v, heads, *args, **kwargs):
            call, options = self.call, kwargs.get("transformer_options") or {}
            if call is not None and "block_type" in options:
                place = (options["block_type"], options["block_index"])
                if call.rows is not None:
                    k, v = self.kept.join(place, call.owners, k, v, call.rows)
                elif call.keep:
                    self.kept.put(place, call.owners, k, v)
            if before is not None:
                return before(func, q, k, v, heads, *args, **kwargs)
            return func(q, k, v, heads, *args, **kwargs)

        return attend

    def put_back(self, before: Callable | None) -> Callable:
        """The last block, after which the tokens stand in their places again; the spared rows hold zeros."""

        def block(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            out = extra["original_block"](args) if before is None else before(args, extra)
            if self.call is None or self.call.rows is None:
                return out
            rows, img = self.call.rows, out["img"]
            text = img.shape[1] - len(rows)  # single blocks have the text in front
            whole = img.new_zeros(img.shape[0], text + self.call.tokens, img.shape[2])
            whole[:, :text] = img[:, :text]
            whole[:, text + rows] = img[:, text:]
            return out | {"img": whole}

        return block


def last_block(network: nn.Module) -> tuple[str, int]:
    """The host's name of a network's last block."""
    if hasattr(network, "transformer_blocks"):
        return "double_block", len(network.transformer_blocks) - 1
    single = len(network.single_blocks)
    return ("single_block", single - 1) if single else ("double_block", len(network.double_blocks) - 1)


def block_count(network: nn.Module) -> int:
    if hasattr(network, "transformer_blocks"):
        return len(network.transformer_blocks)
    return len(network.double_blocks) + len(network.single_blocks)


def width(network: nn.Module) -> int:
    """Of the keys of one token, all heads together."""
    return network.inner_dim if hasattr(network, "inner_dim") else network.hidden_size
