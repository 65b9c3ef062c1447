"""Measure every trained adapter on the same scenes it never saw; `python dev.py bench ablation` runs it all."""

import hashlib
import json
import time

import numpy as np
import torch

from demo import scenes
from demo.model_files import WEIGHTS

from .figures import by_scene, figures
from .host_model import HostModel
from .lora_files import lora_file

BATCH = 20
UNREAD = "icedit_demo_clip_l.safetensors"  # what the model makes of it is multiplied by zeros
# name -> variant of `train_adapters`, in-context prompt
VARIANTS = {
    "base_no_ic": (None, False),
    "base": (None, True),
    "moe_only_no_ic": ("moe_only_no_ic", False),
    "moe_only": ("moe_only", True),
    "normal_lora_no_ic": ("normal_lora_no_ic", False),
    "normal_lora": ("normal_lora", True),
    "moe_lora_no_ic": ("moe_lora_no_ic", False),
    "moe_lora": ("moe_lora", True),
}


class Usage:
    """Counts which expert each token goes to, layer by layer, while `model` is in use."""

    def __init__(self, model):
        banks = [patcher.model for patchers in model.additional_models.values() for patcher in patchers]
        self.layers = [layer for bank in banks for layer in bank]
        self.counts = [torch.zeros(layer.num_experts) for layer in self.layers]

    def __enter__(self):
        for layer, counts in zip(self.layers, self.counts, strict=True):
            counts.zero_()
            layer.hidden = self._counting(layer, counts)
        return self

    def __exit__(self, *_):
        for layer in self.layers:
            del layer.hidden

    @staticmethod
    def _counting(layer, counts):
        hidden = layer.hidden

        def counted(x):
            counts.add_(torch.bincount(layer.logits(x).argmax(-1).flatten(), minlength=len(counts)))
            return hidden(x)

        return counted

    def shares(self) -> list[list[float]]:
        return [[round(share, 4) for share in (counts / counts.sum()).tolist()] for counts in self.counts]


def by_task(examples) -> list[list[int]]:
    """Indices in batches, each of one family."""
    batches = []
    for task in scenes.TASKS:
        members = [i for i, e in enumerate(examples) if e.task == task]
        batches += [members[at : at + BATCH] for at in range(0, len(members), BATCH)]
    return batches


def edits_of(host: HostModel, model, in_context: bool, examples) -> tuple[list[np.ndarray], dict]:
    """The edit of every scene, and the experts' shares per family and layer."""
    edits: list = [None] * len(examples)
    usage: dict[str, list] = {}
    counter = Usage(model) if model.additional_models else None
    for batch in by_task(examples):
        sources = torch.stack([torch.from_numpy(examples[i].source) for i in batch])
        words = [examples[i].instruction for i in batch]
        how = {"seed": batch[0], "noise_mask": True, "model": model, "in_context": in_context}
        if counter:
            with counter:
                made = host.edit(sources, words, **how)
            usage.setdefault(examples[batch[0]].task, []).append(counter.shares())
        else:
            made = host.edit(sources, words, **how)
        for i, image in zip(batch, made.numpy(), strict=True):
            edits[i] = image
    return edits, {task: np.mean(shares, axis=0).round(4).tolist() for task, shares in usage.items()}


def measure(name: str, count: int) -> tuple[dict, list[np.ndarray]]:
    """One variant's figures and edits."""
    host, examples = HostModel(adapter=None), scenes.unseen(count)
    variant, in_context = VARIANTS[name]
    path = lora_file(variant) if variant else None
    start = time.perf_counter()
    edits, usage = edits_of(host, host.adapted(path) if path else host.base, in_context, examples)
    result: dict = {"figures": figures(examples, edits), "in_context": in_context}
    result["by_scene"] = by_scene(examples, edits)
    if path:
        result |= {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        result["parameters"] = host.parameters(path)
    if usage:
        result["expert_usage"] = usage
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result, edits


def ceiling(count: int) -> dict:
    """The same check on every target after the autoencoder's encoding and decoding."""
    host, examples = HostModel(adapter=None), scenes.unseen(count)
    pairs = [(torch.from_numpy(e.source), torch.from_numpy(e.target)) for e in examples]
    return figures(examples, [host.autoencode(*pair).numpy() for pair in pairs])


def facts_of(count: int) -> dict:
    """What figures must share to stand in one file; of the weights, those that the edits depend on."""
    config = json.loads((WEIGHTS / "config.json").read_text(encoding="utf-8"))
    return {
        "scenes": count,
        "first_seed": scenes.UNSEEN,
        **{k: config[k] for k in ("steps", "sampler", "scheduler", "guidance", "panel")},
        "weights": _read_ones(config["sha256"]),
        "base_parameters": HostModel.parameters(WEIGHTS / "icedit_demo_fill.safetensors"),
    }


def are_of(recorded: dict, facts: dict) -> bool:
    """Whether recorded figures share these facts."""
    found = {name: recorded.get(name) for name in facts}
    return found | {"weights": _read_ones(found["weights"] or {})} == facts


def earlier_of(recorded: dict) -> dict:
    """What a file keeps of figures of earlier weights: all variants, comparable with one another and with no later one.

    Of a file that has measured only some variants on its weights, those of the weights before, which has more.
    """
    kept = recorded.get("earlier", {})
    if len(recorded.get("variants", {})) <= len(kept.get("variants", {})):
        return kept
    variants = {
        name: {key: value for key, value in variant.items() if key not in ("by_scene", "expert_usage")}
        for name, variant in recorded["variants"].items()
    }
    facts = {key: recorded[key] for key in ("scenes", "first_seed", "weights", "ceiling")}
    return {**facts, "variants": variants}


def _read_ones(hashes: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in hashes.items() if name != UNREAD}
