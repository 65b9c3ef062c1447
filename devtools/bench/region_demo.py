"""The demo's edits with every token and with those that change, on scenes it never saw, paired on the same seeds."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np
import torch

from demo import scenes

LOCAL = ("recolour", "remove", "add", "swap")
STEPS = 28
WAYS: dict[str, dict[str, Any] | None] = {
    "all tokens": None,
    "spot": {"method": "spot"},
    "region": {"method": "region"},
}
CURVE: dict[str, dict[str, Any] | None] = {
    "spot, .03": {"method": "spot", "threshold": 0.03},
    "spot, .15": {"method": "spot", "threshold": 0.15},
    "region, .15": {"method": "region", "threshold": 0.15},
}


class Demo:
    """The demo model with its LoRA-MoE, once as it is and once for each way of computing less."""

    def __init__(self, ways: list[str]):
        from workshop.host_model import HostModel, _pack  # transformers: the page needs none of it

        self.host = HostModel()
        self.host.config["steps"] = STEPS
        _pack()
        settings = importlib.import_module("icedit_pack.nodes.host.changes_settings").Settings
        attach = importlib.import_module("icedit_pack.nodes.host.only_changes").attach
        self.heard: list[Any] = []

        def told(session, where):
            self.heard.append(session)

        self.models = {}
        for name in ways:
            how, model = (WAYS | CURVE)[name], self.host.model
            self.models[name] = model if how is None else attach(model, settings(**how), False, told)

    def measure(self, index: int) -> dict[str, dict[str, Any]]:
        """Every way on one scene, alone: a batch would compute the union of its members."""
        example = scenes.unseen(1, first=index)[0]
        return {name: self._edit(example, index, name) for name in self.models}

    def _edit(self, example, seed: int, name: str) -> dict[str, Any]:
        self.heard.clear()
        source, begin = torch.from_numpy(example.source)[None], time.process_time()
        edited = self.host.edit(source, [example.instruction], seed, True, self.models[name])[0].numpy()
        verdict = example.check(edited)
        steps = self.heard[0].steps if self.heard else []
        return {
            "task": example.task,
            "success": bool(verdict.success),
            "inside": round(verdict.inside, 5),
            "outside": round(verdict.outside, 5),
            "share": round(sum(step.share for step in steps) / len(steps), 4) if steps else 1.0,
            "full": sum(step.kind == "full" for step in steps) if steps else STEPS,
            "work": round(time.process_time() - begin, 2),
        }


def fitted(made: Demo, count: int) -> tuple[float, ...]:
    """RegionE's gammas of the demo model: mean lengths of the right panel's velocities over `count` scenes."""
    region = importlib.import_module("icedit_pack.icedit_core.only_changes.region")
    lengths, sigmas = np.zeros(STEPS), []
    model = made.host.model.clone()
    seen: list[float] = []

    def look(args):
        half = args["input"].shape[-1] // 2
        velocity = (args["input"] - args["denoised"])[..., half:] / args["sigma"].view(-1, 1, 1, 1)
        seen.append(float(velocity.square().sum(1).sqrt().mean()))
        sigmas.append(float(args["sigma"][0]))
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(look)
    for index in range(count):
        seen.clear()
        sigmas.clear()
        example = scenes.unseen(1, first=index)[0]
        made.host.edit(torch.from_numpy(example.source)[None], [example.instruction], index, True, model)
        lengths += seen
    return region.fit((lengths / count).tolist(), sigmas)


def figures(results: dict[str, dict[str, dict[str, Any]]], way: str, tasks: tuple[str, ...]) -> dict[str, float]:
    """Success, its difference to all tokens with the 95 % interval of the pairs, error outside, share of tokens."""
    pairs = [(row["all tokens"], row[way]) for row in results.values() if row[way]["task"] in tasks]
    gained = np.array([int(other["success"]) - int(base["success"]) for base, other in pairs], dtype=float)
    half = 1.96 * gained.std(ddof=1) / len(gained) ** 0.5 if len(gained) > 1 else float("nan")
    return {
        "scenes": len(pairs),
        "success": float(np.mean([other["success"] for _, other in pairs])),
        "points": 100 * float(gained.mean()),
        "half": 100 * float(half),
        "outside": float(np.mean([other["outside"] for _, other in pairs])),
        "share": float(np.mean([other["share"] for _, other in pairs])),
        "work": float(np.mean([other["work"] for _, other in pairs])),
    }
