"""The page and the pictures of the bench on real editors."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from workshop import report
from workshop.machine import describe

from .editor_pairs import EditorPair

SIDE = 400  # px of a picture of the sheet


def lines(records: list[dict], missing: list[str]) -> list[str]:
    """The table in Markdown, and the sums under it."""
    head = ["pair", "editor", "label", "called", "in boxes", "found", "changed", "boxes", "right"]
    rows = []
    for r in records:
        shares = [f"{r['inside']:.1%}", f"{r['found']:.1%}"] if r["kind"] == "local" else ["", ""]
        cells = [r["name"], r["editor"], r["kind"], r["verdict"], *shares, f"{r['changed']:.1%}", f"{r['boxes']:.1%}"]
        rows.append([*cells, "yes" if r["right"] else "**no**"])
    right = sum(r["right"] for r in records)
    local = [r for r in records if r["kind"] == "local"]
    sums = (
        f"Right: {right} of {len(records)} pairs of {len({r['editor'] for r in records})} editors; of the local edits "
        f"{sum(r['right'] for r in local)} of {len(local)}."
    )
    misses = [f"- {r['name']}: {r['words']}" for r in records if not r["right"]]
    if misses:
        misses = ["", "What the pack says of those that are not right:", "", *misses]
    left_out = ["", f"Not on this machine: {', '.join(missing)}."] if missing else []
    return [*report.table(head, rows), "", sums, *misses, *left_out]


def page(records: list[dict], missing: list[str], machine: str) -> str:
    return "\n".join(
        [
            "# What real editors changed, and what is found of it",
            "",
            "Published pairs of a source and what an editor made of it (`devtools/bench/real_editors.json`), compared "
            "at the node's defaults without a VAE. What counts as changed was labelled by eye, as boxes, before a "
            "detector ran on the pairs. *In boxes*: share of the found change that lies inside them (right from 95 %). "
            "*Found*: share of the pixels in the boxes that differ by more than 0.1 (right from 90 %). *Changed*, "
            "*boxes*: shares of the picture. Edits of the whole picture are right if they are called that. The labels "
            "never changed, but the detector's constants (`icedit_core/edited.py`) were chosen with these pairs in "
            "view: on others expect less. The bowl of bowl_3 alone covers 8.4 % of its picture.",
            "",
            *lines(records, missing),
            "",
            f"On {machine}.",
            "",
        ]
    )


def write(out: Path, records: list[dict], missing: list[str]) -> None:
    """real_editors.json and real_editors.md in `out`."""
    machine = describe()
    figures = {"machine": machine, "missing": missing, "pairs": records}
    report.write(out, "real_editors", figures, page(records, missing, machine))


def row(pair: EditorPair, source: np.ndarray, edit: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Source, aligned edit, and the found change in red over the source's grey; the boxes in yellow."""
    grey = np.repeat(source.mean(-1, keepdims=True), 3, -1) * 0.6
    over = grey + mask[..., None] * (np.array([1.0, 0.2, 0.2]) * 0.7 + grey * 0.3 - grey)
    height, width = mask.shape
    pictures = []
    for values in (source, edit, over):
        image = Image.fromarray(np.round(values * 255).clip(0, 255).astype(np.uint8))
        pen = ImageDraw.Draw(image)
        for x0, y0, x1, y1 in pair.boxes:
            pen.rectangle((x0 * width, y0 * height, x1 * width - 1, y1 * height - 1), outline="yellow")
        image.thumbnail((SIDE, SIDE))
        pictures.append(image)
    sheet = Image.new("RGB", (3 * SIDE, SIDE), "white")
    for i, image in enumerate(pictures):
        sheet.paste(image, (i * SIDE, 0))
    return sheet
