"""`icedit eval --protocol scenes` beside the recorded ablation, scene by scene.

    python dev.py bench ablation --only base moe_lora --edits DIR
    python dev.py bench eval-scenes --edits DIR [--variants base moe_lora] [--out benchmarks]

The first command records every scene's outcome in ablation.json and keeps the edits; the second measures those edits by
the real command and writes eval_scenes.json and .md: how many scenes agree, and by how much the errors differ. The
ablation's checker had the decoder's numbers, the command has pictures of eight bits: the same checker on those pictures
tells that apart from a fault. A run that was stopped goes on with the variants it had measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demo import scenes
from devtools.bench.progress import Progress, code
from icedit_core.evaluation import outcomes
from workshop import report
from workshop.ablation_page import LABELS
from workshop.figures import read_by_scene
from workshop.machine import describe

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = ("base", "moe_lora")
log = logging.getLogger("eval-scenes")


def data(folder: Path, examples: Sequence[scenes.Example]) -> Path:
    """The scenes as `icedit eval --protocol scenes` reads them; rows are named by their number."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, example in enumerate(examples):
        row = {"id": str(number), "source": f"{number}_source.png", "target": f"{number}_target.png"}
        for name in ("source", "target"):
            Image.fromarray((getattr(example, name) * 255).round().astype(np.uint8)).save(folder / row[name])
        lines.append(json.dumps({**row, "instruction": example.instruction, "task": example.task}))
    (folder / "scenes.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def evaluated(rows: Path, edits: Path, out: Path) -> dict[str, dict[str, float]]:
    """Row -> metrics, by the command.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "icedit_core.cli", "eval", "--protocol", "scenes", "--data", str(rows)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "--edits", str(edits), "-o", str(out)], env=environment, stderr=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, text=True)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"icedit eval ended with {done.returncode}: {done.stderr[-2000:]}")
    return {key: row.numbers for key, row in outcomes.read(out).rows.items()}


def compared(
    found: dict[str, dict[str, float]], recorded: Sequence[tuple[bool, float]], checked: Sequence[scenes.Verdict]
) -> dict[str, Any]:
    """The command's rows against the recorded outcomes, and against the checker on the same pictures."""
    rows = [found[str(number)] for number in range(len(recorded))]
    success = [bool(row["success"]) for row in rows]
    errors = np.array([row["error_outside"] for row in rows])
    from_record = np.abs(errors - [outside for _, outside in recorded])
    from_checker = np.abs(errors - [verdict.outside for verdict in checked])
    return {
        "scenes": len(rows),
        "success_recorded": sum(good for good, _ in recorded),
        "success": sum(success),
        "other_success": [number for number, (good, _) in enumerate(recorded) if good != success[number]],
        "error_differs_by": {"mean": _short(from_record.mean()), "most": _short(from_record.max())},
        "other_than_checker": [number for number, one in enumerate(checked) if one.success != success[number]],
        "error_differs_from_checker_by": _short(from_checker.max()),
    }


def _short(value: float) -> float:
    return float(f"{value:.2g}")


def checked(rows: Path, edits: Path, count: int) -> list[scenes.Verdict]:
    """The demo's own checker on the pictures that the command reads."""

    def pixels(file: Path) -> np.ndarray:
        return np.asarray(Image.open(file), np.float32) / 255

    return [
        scenes.judge(*(pixels(rows / f"{i}_{name}.png") for name in ("source", "target")), pixels(edits / f"{i}.png"))
        for i in range(count)
    ]


def one(variant: str, recorded: dict[str, Any], rows: Path, edits: Path) -> dict[str, Any]:
    """A variant's comparison.

    Raises:
        ValueError: its outcomes or its edits are not there.
    """
    told = recorded["variants"].get(variant, {})
    count = recorded["scenes"]
    missing = sum(not (edits / variant / f"{number}.png").is_file() for number in range(count))
    if "by_scene" not in told or missing:
        lack = f"{missing} of {count} edits are missing" if missing else "ablation.json has no outcomes by scene"
        raise ValueError(
            f"eval-scenes: {variant}: {lack}. Run: python dev.py bench ablation --only {variant} --edits {edits}"
        )
    begun = time.perf_counter()
    found = evaluated(rows, edits / variant, edits / f"eval-{variant}")
    seconds = round(time.perf_counter() - begun, 1)
    whole = compared(found, read_by_scene(told["by_scene"]), checked(rows, edits / variant, count))
    return whole | {"sha256": told.get("sha256"), "seconds": seconds}


def page(result: dict[str, Any]) -> str:
    """eval_scenes.md."""
    lines = [
        "# `icedit eval --protocol scenes` beside the recorded ablation",
        "",
        f"The {result['scenes']} scenes of [ablation.md](ablation.md), the same edits, saved as PNG and measured by "
        "`icedit eval --protocol scenes --edits`, compared scene by scene with ablation.json. The ablation's checker "
        "had the decoder's numbers, the command has eight bits a channel of source, target and edit; the checker on "
        "those same pictures stands beside it. Made by `python dev.py bench eval-scenes`.",
        "",
    ]
    head = ["", "success as recorded", "by icedit eval", "scenes with the same success"]
    head += ["error outside differs: mean, most", "same success as the checker on the saved pictures"]
    rows = []
    for name, told in result["variants"].items():
        count, error = told["scenes"], told["error_differs_by"]
        same, same_checked = (count - len(told[key]) for key in ("other_success", "other_than_checker"))
        rows.append(
            [
                LABELS[name],
                told["success_recorded"],
                told["success"],
                f"{same} of {count}",
                f"{error['mean']:g}, {error['most']:g}",
                f"{same_checked} of {count}",
                f"{told['error_differs_from_checker_by']:g}",
            ]
        )
    lines += report.table([*head, "error differs from that by at most"], rows)
    others = [f"{LABELS[name]}: {_listed(told['other_success'])}" for name, told in result["variants"].items()]
    return "\n".join([
        *lines, "", f"Scenes whose success differs: {'; '.join(others)}. Measured on {result['machine']}.", "",
    ])  # fmt: skip


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=Path, required=True, metavar="DIR", help="of bench ablation --edits")
    parser.add_argument("--variants", nargs="+", choices=sorted(LABELS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks", help="has ablation.json")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    edits = options.edits.resolve()
    recorded = report.read(options.out, "ablation")
    if not recorded:
        parser.error(f"--out got {options.out}, but there is no ablation.json. Run: python dev.py bench ablation")
    told = {name: recorded["variants"].get(name) for name in options.variants}
    made = {"told": told, "edits": str(edits), "code": code()}
    with Progress("eval-scenes", len(options.variants), made) as progress:
        rows = data(edits / "scenes", scenes.unseen(recorded["scenes"]))
        for name in options.variants:
            progress.get(name, lambda name=name: one(name, recorded, rows, edits))  # type: ignore[misc]
        result = {
            "scenes": recorded["scenes"],
            "weights": recorded["weights"],
            "variants": {name: progress.results[name] for name in options.variants},
            "machine": describe("no GPU used"),
        }
        report.write(options.out, "eval_scenes", result, page(result))
        log.info("%s", page(result))


if __name__ == "__main__":
    main()
