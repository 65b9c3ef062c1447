"""The demo's edits with every token and with those that change, on scenes it never saw, paired on the same seeds."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np
import torch

from demo import scenes

Scenes = dict[str, dict[str, dict[str, Any]]]  # number of the scene -> way -> what came out

TASKS = scenes.TASKS
LOCAL = ("recolour", "remove", "add", "swap")
STEPS = 28
STOCK = "all tokens"
EASY_CACHE = "EasyCache"
METHODS = ("spot", "region", EASY_CACHE)
WAYS: dict[str, dict[str, Any] | None] = {
    STOCK: None,
    "spot": {"method": "spot"},
    "region": {"method": "region"},
}
CURVE: dict[str, dict[str, Any] | None] = {
    **{f"spot, {at:g}": {"method": "spot", "threshold": at} for at in (0.03, 0.15, 0.4)},
    **{f"region, {at:g}": {"method": "region", "threshold": at} for at in (0.03, 0.15, 0.4)},
    **{f"{EASY_CACHE}, {at:g}": {"method": EASY_CACHE, "threshold": at} for at in (0.05, 0.1, 0.2, 0.4, 0.8)},
}
POINT = 1.0  # of success that EasyCache's threshold may cost


class Demo:
    """The demo model with its LoRA-MoE, once as it is and once for each way of computing less."""

    def __init__(self, ways: list[str]):
        from workshop.host_model import HostModel, _pack  # transformers: the page needs none of it

        self.host = HostModel()
        self.host.config["steps"] = STEPS
        _pack()
        self.heard: list[Any] = []
        self.calls = 0
        self.models = {name: self._model((WAYS | CURVE)[name]) for name in ways}

    def _model(self, how: dict[str, Any] | None):
        """The model that computes less in this way; it counts its calls."""
        model = self.host.model.clone()
        if how is not None and how["method"] == EASY_CACHE:
            model = easy_cache(model, how["threshold"])
        elif how is not None:
            settings = importlib.import_module("icedit_pack.nodes.host.changes_settings").Settings
            attach = importlib.import_module("icedit_pack.nodes.host.only_changes").attach
            model = attach(model, settings(**how), False, lambda session, where: self.heard.append(session))
        patched = importlib.import_module("comfy.patcher_extension").WrappersMP
        model.add_wrapper_with_key(patched.DIFFUSION_MODEL, "counted", self._counted)  # the last one is the innermost
        return model

    def _counted(self, executor, *args, **kwargs):
        self.calls += 1
        return executor(*args, **kwargs)

    def measure(self, index: int, ways: list[str]) -> dict[str, dict[str, Any]]:
        """Some ways on one scene, alone: a batch would compute the union of its members."""
        example = scenes.unseen(1, first=index)[0]
        return {name: self._edit(example, index, name) for name in ways}

    def _edit(self, example, seed: int, name: str) -> dict[str, Any]:
        self.heard.clear()
        self.calls = 0
        source, begin = torch.from_numpy(example.source)[None], time.process_time()
        edited = self.host.edit(source, [example.instruction], seed, True, self.models[name])[0].numpy()
        verdict = example.check(edited)
        steps = self.heard[0].steps if self.heard else []
        return {
            "task": example.task,
            "success": bool(verdict.success),
            "inside": round(verdict.inside, 5),
            "outside": round(verdict.outside, 5),
            "share": round(sum(step.share for step in steps) / len(steps) if steps else self.calls / STEPS, 4),
            "full": sum(step.kind == "full" for step in steps) if steps else self.calls,
            "work": round(time.process_time() - begin, 2),
        }


def easy_cache(model, threshold: float):
    """Core's node at a threshold, else as it comes: it skips no step of the first 15 % and of the last 5 %."""
    node = importlib.import_module("comfy_extras.nodes_easycache").EasyCacheNode
    return node.execute(model, threshold, 0.15, 0.95, False).args[0]


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


def having(results: Scenes, way: str) -> Scenes:
    """The scenes on which a way was measured."""
    return {index: row for index, row in results.items() if way in row and STOCK in row}


def figures(results: Scenes, way: str, tasks: tuple[str, ...]) -> dict[str, float]:
    """Success and error outside, both also against all tokens with the 95 % interval of the pairs; tokens and work."""
    pairs = [(row[STOCK], row[way]) for row in having(results, way).values() if row[way]["task"] in tasks]
    points = [100.0 * (int(other["success"]) - int(base["success"])) for base, other in pairs]
    outside = [other["outside"] - base["outside"] for base, other in pairs]
    found = {"scenes": float(len(pairs)), "points": float(np.mean(points)), "half": _half(points)}
    found |= {"outside more": float(np.mean(outside)), "outside half": _half(outside)}
    found["whole"] = float(np.mean([other["full"] == STEPS for _, other in pairs]))
    names = ("success", "outside", "share", "full", "work")
    return found | {name: float(np.mean([other[name] for _, other in pairs])) for name in names}


def _half(values: list[float]) -> float:
    """Half of the 95 % interval of a mean."""
    return 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def curve(results: Scenes, method: str) -> list[str]:
    """The ways of a method with a threshold of their own that were measured, from the lowest threshold on."""
    found = [name for name, how in CURVE.items() if how and how["method"] == method and having(results, name)]
    return sorted(found, key=lambda name: CURVE[name]["threshold"])


def affordable(results: Scenes) -> str | None:
    """EasyCache at the highest measured threshold that costs at most one point; None where each costs more."""
    ways = curve(results, EASY_CACHE)
    cheap = [way for way in ways if figures(results, way, TASKS)["points"] >= -POINT]
    return cheap[-1] if cheap else None
