"""How well ICEdit Attention Map finds a thing by its words: on scenes that the demo never saw, whose places are known.

    python dev.py bench attention-map [--count 100] [--out benchmarks]

The demo's base at the node's own sigma, one model call a scene: with everything masked under the source's caption, and
as a diptych under the in-context prompt, where the map is of the right panel. *Times its
area*: the share of the map that lies on the thing, over the thing's share of the picture; 1 is a map that knows
nothing. Figures are reported, not asserted. Writes attention_map.json and attention_map.md.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demo import scenes
from demo.model_files import hashes
from demo.scenes.draw import caption
from devtools.bench.progress import Progress
from icedit_core.prompt import wrap
from workshop import report
from workshop.host_model import HostModel
from workshop.machine import describe

NAME = "attention_map"
TASKS = ("recolour", "remove", "swap")  # what changes lies where the old thing is
FIRST = scenes.UNSEEN + 2_000_000
SETTINGS = {"sigma": 0.3, "threshold": 0.0, "seed": 0}
EVERY, MIDDLE = (0, 999), (2, 3)  # blocks; of the demo's six
WAYS = {
    "everything masked, the caption": ("picture", EVERY),
    "a diptych, the in-context prompt": ("diptych", EVERY),
    "the same, blocks 2 and 3 of 0 to 5": ("diptych", MIDDLE),
}
log = logging.getLogger("attention-map")


class Looker:
    """The node on the demo's base in this process."""

    def __init__(self):
        self.host = HostModel(adapter=None)
        self.node = importlib.import_module(f"{self.host.pack()}.nodes.attention_map").ICEditAttentionMap
        import nodes

        self.inpaint = nodes.InpaintModelConditioning().encode

    @torch.no_grad()
    def map_of(self, example: scenes.Example, kind: str, blocks: tuple[int, int]) -> Tensor:
        """(H, W) in [0, 1], of the picture or of the right panel."""
        picture = torch.from_numpy(example.source)[None]
        _, height, width, _ = picture.shape
        masked = torch.ones(1, height, width)
        prompt = caption(example.edit.before)
        if kind == "diptych":
            picture, masked = torch.cat([picture, picture], 2), torch.cat([masked * 0, masked], 2)
            prompt = wrap(example.instruction)
        text = self.host.conditioning([prompt], in_context=False)
        positive, _, latent = self.inpaint(text, text, picture, self.host.vae, masked, False)
        node = self.node.PREPARE_CLASS_CLONE(None)
        settings = SETTINGS | dict(zip(("first_block", "last_block"), blocks, strict=True))
        given = (self.host.base, positive, latent, self.host.clip, prompt, example.edit.old.name)
        return node.execute(*given, **settings).args[0][0]


def times_its_area(found: Tensor, where: np.ndarray) -> float:
    """The map's share on the thing over the thing's share of the picture."""
    place = torch.from_numpy(where)
    return float(found[place].sum() / found.sum() / place.float().mean())


def summary(values: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    mean = float(np.mean(values))
    return {
        "mean": round(mean, 2),
        "median": round(float(middle), 2),
        "from_5_percent": round(float(low), 2),
        "to_95_percent": round(float(high), 2),
        "at_least_3": round(float(np.mean(np.array(values) >= 3)), 3),
    }


def page(found: dict) -> str:
    lines = [
        "# Where a thing's words look",
        "",
        f"ICEdit Attention Map on {found['scenes']} scenes that the demo never saw, its base model, sigma .3, one "
        "model call each, all blocks unless named. *Times its area*: the share of the map that lies on the "
        "thing, over the thing's share of the picture; 1 is a map that knows nothing.",
        "",
        *report.table(
            ["", "times its area: mean", "median", "90 % of the scenes", "scenes with 3 or more"],
            (
                [
                    way,
                    own["mean"],
                    own["median"],
                    f"{own['from_5_percent']} to {own['to_95_percent']}",
                    f"{own['at_least_3']:.0%}",
                ]
                for way, own in found["ways"].items()
            ),
        ),
        "",
        f"Measured on {found['machine']}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench attention-map", description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--out", type=Path, default=report.FOLDER)
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    looker = Looker()
    made = [scenes.make(FIRST + i, scenes.PANEL, TASKS[i % len(TASKS)]) for i in range(options.count)]
    values: dict[str, list[float]] = {way: [] for way in WAYS}
    with Progress("attention-map", options.count) as progress:
        for number, example in enumerate(made):
            where = scenes.changed_pixels(example.source, example.target)
            for way, own in values.items():
                own.append(times_its_area(looker.map_of(example, *WAYS[way]), where))
            progress.add(str(number), None)
    found = {
        "scenes": options.count,
        "first_seed": FIRST,
        "sha256": hashes(),
        "machine": describe("no GPU used"),
        "ways": {way: summary(own) for way, own in values.items()},
    }
    report.write(options.out, NAME, found, page(found))
    log.info("%s", page(found))


if __name__ == "__main__":
    main()
