"""Write scenes as a folder of pairs that `icedit train` reads.

python demo/export_pairs.py OUT --count 200 [--size 96] [--seed 0]

OUT holds NNNNNN_source.png, NNNNNN_target.png and pairs.jsonl with source, target, instruction and task. The families
come in turn; the seeds are training seeds, so measurements on unseen scenes stay fair.
"""

import argparse
import json
from pathlib import Path

import scenes
from PIL import Image


def export(out: Path, count: int, size: int = scenes.PANEL, seed: int = 0) -> Path:
    """Write `count` pairs; returns the JSONL.

    Raises:
        ValueError: no pairs, or seeds that are kept for measuring.
    """
    if count < 1 or seed < 0 or seed + count > scenes.UNSEEN:
        raise ValueError(
            f"export_pairs: got {count} pairs from seed {seed}, but one or more are needed, with seeds from 0 to "
            f"{scenes.UNSEEN - 1}. Correct --count or --seed."
        )
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(count):
        example = scenes.make(seed + i, size, scenes.TASKS[i % len(scenes.TASKS)])
        row = {"source": f"{i:06d}_source.png", "target": f"{i:06d}_target.png"}
        for name, pixels in (("source", example.source), ("target", example.target)):
            Image.fromarray((pixels * 255).round().astype("uint8")).save(out / row[name])
        lines.append(json.dumps({**row, "instruction": example.instruction, "task": example.task}))
    path = out / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write, made if it is not there")
    parser.add_argument("--count", type=int, default=200, help="how many pairs; default: 200")
    parser.add_argument("--size", type=int, default=scenes.PANEL, help="side of a panel in pixels")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene")
    args = parser.parse_args()
    print(f"{args.count} pairs: {export(args.out, args.count, args.size, args.seed)}")


if __name__ == "__main__":
    main()
