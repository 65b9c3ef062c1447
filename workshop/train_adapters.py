"""Fine-tune the demo's adapters on instructions, with the pack's own trainer.

    COMFYUI_PATH=... python -m workshop.train_adapters --state DIR [--base demo/weights] [--only NAME ...] [--steps N]
        [--begin FOLDER]

Every adapter sees the same scenes in the same order for the same number of steps, with the same settings. Latents are
encoded once. A training that was stopped goes on from its last checkpoint; DIR/NAME/adapter.safetensors is the result.
With --begin every adapter starts from FOLDER/NAME/adapter.safetensors, at half the rate: for a base that learned on.
"""

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np
from PIL import Image

from demo.model_files import WEIGHTS
from icedit_core.training import config, loop
from icedit_core.training.base import load_base
from icedit_core.training.data.rows import Row

from . import attention, text
from . import plain_scenes as scenes
from .pool import BOOST, EDIT_WEIGHT

log = logging.getLogger("train_adapters")
ROWS = 20_000
FIRST_SEED = 1_000_000_000  # other scenes than the base model's
STEPS = 2400
SHARES = {"recolour": 0.12, "remove": 0.06, "add": 0.10, "swap": 0.48, "background": 0.14, "style": 0.10}
MOE = {"rank": 12, "alpha": 12, "experts": 4, "top_k": 1}
VARIANTS = {
    "moe_lora": {"adapter": MOE, "prompt": "ic"},
    "normal_lora": {"adapter": {"rank": 24, "alpha": 24, "experts": 0}, "prompt": "ic"},
    "moe_lora_no_ic": {"adapter": MOE, "prompt": "direct"},
    "moe_only": {"adapter": {**MOE, "plain": []}, "prompt": "ic"},
    "normal_lora_no_ic": {"adapter": {"rank": 24, "alpha": 24, "experts": 0}, "prompt": "direct"},
    "moe_only_no_ic": {"adapter": {**MOE, "plain": []}, "prompt": "direct"},
}


class SceneRows:
    """Scenes of the training split as the trainer's rows."""

    def __init__(self, count: int):
        tasks = np.random.default_rng(0).choice(list(SHARES), count, p=list(SHARES.values()))
        self.tasks = [str(task) for task in tasks]

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index: int) -> Row:
        e = scenes.make(FIRST_SEED + index, task=self.tasks[index])
        return Row(str(e.seed), _picture(e.source), _picture(e.target), e.instruction, e.task)

    def fingerprint(self) -> str:
        return f"scenes-{FIRST_SEED}-{len(self)}-{scenes.PANEL}"


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray((pixels * 255).round().astype(np.uint8))


def settings(name: str, state: Path, base: Path, steps: int, begin: Path | None = None) -> config.Config:
    """What the trainer is told; all but the adapter and the prompt are the same for every variant."""
    variant = VARIANTS[name]
    first = begin / name / "adapter.safetensors" if begin else ""
    return config.parse(
        {
            "model": {"base": str(base), "dtype": "bfloat16", "adapter": str(first)},
            "data": {
                "path": "scenes",
                "panel": [scenes.PANEL, scenes.PANEL],
                "prompt": variant["prompt"],
                "cache": str(state / "cache"),
            },
            "adapter": variant["adapter"] | {"router_gradient": "straight_through", "balance": 0.01},
            "train": {
                "steps": steps,
                "batch": 48,
                "accumulate": 1,
                "mixed_precision": "bf16",
                "compile": True,
                "seed": 0,
                "text_dropout": 0.0,
            },
            "optimiser": {
                "name": "adamw",
                "lr": 1e-3 if begin else 2e-3,
                "weight_decay": 0.0,
                "betas": [0.9, 0.98],
                "clip": 1.0,
                "warmup": 30,
                "schedule": "linear",
                "decay_from": 0.1,
            },
            "loss": {
                "left_weight": 0.1,
                "changed_weight": EDIT_WEIGHT,
                "small_edit_boost": BOOST,
                "time_mean": 0.0,
                "time_std": 1.3,
                "time_uniform": 0.25,
            },
            "ema": {"decay": 0.99},
            "validation": {"every": 0},
            "output": {"folder": str(state / name), "save_every": 200, "keep": 1},
        },
        who="train_adapters",
    )


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=WEIGHTS)
    parser.add_argument("--only", nargs="+", choices=sorted(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--begin", type=Path, help="a folder of trained adapters to start from")
    return parser.parse_args(arguments)


def main() -> None:
    args = parsed()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tokenizer = str(text.tokenizer_path())
    for name in args.only:
        start = time.monotonic()
        chosen = settings(name, args.state, args.base, args.steps, args.begin)
        with attention.by_products():
            result = loop.train(chosen, rows=SceneRows(ROWS), base=load_base(str(args.base), tokenizer=tokenizer))
        log.info("%s", json.dumps({"adapter": name, "file": str(result), "seconds": round(time.monotonic() - start)}))


if __name__ == "__main__":
    main()
