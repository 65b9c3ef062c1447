"""Small data sets of exactly the public structure, written by the tests themselves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MAGICBRUSH = pa.schema(
    [
        ("img_id", pa.string()),
        ("turn_index", pa.int32()),
        ("source_img", IMAGE),
        ("mask_img", IMAGE),
        ("instruction", pa.string()),
        ("target_img", IMAGE),
    ]
)
OMNIEDIT = pa.schema(
    [
        ("omni_edit_id", pa.string()),
        ("task", pa.string()),
        ("src_img", IMAGE),
        ("edited_img", IMAGE),
        ("edited_prompt_list", pa.list_(pa.string())),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("sc_score_1", pa.int64()),
        ("sc_score_2", pa.int64()),
        ("sc_reasoning", pa.string()),
        ("pq_score", pa.int64()),
        ("pq_reasoning", pa.string()),
        ("o_score", pa.float64()),
    ]
)


def picture(seed: int, size: tuple[int, int] = (64, 64), mode: str = "RGB") -> Image.Image:
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def cell(image: Image.Image, kind: str = "PNG") -> dict:
    """An image column's value as `datasets` writes it."""
    return {"bytes": encoded(image, kind), "path": None}


def magicbrush_row(seed: int, **changed) -> dict:
    row = {
        "img_id": str(100 + seed // 2),
        "turn_index": 1 + seed % 2,
        "source_img": cell(picture(seed)),
        "mask_img": cell(picture(seed, mode="RGBA")),
        "instruction": f"Make it number {seed}.",
        "target_img": cell(picture(seed + 1000)),
    }
    return {**row, **changed}


def omniedit_row(seed: int, **changed) -> dict:
    row = {
        "omni_edit_id": f"task_obj_swap_{seed}",
        "task": "swap",
        "src_img": cell(picture(seed, (96, 64)), "JPEG"),
        "edited_img": cell(picture(seed + 1000, (96, 64)), "JPEG"),
        "edited_prompt_list": [f"Swap object {seed}", f"Exchange the object for number {seed}"],
        "width": 96,
        "height": 64,
        "sc_score_1": 9,
        "sc_score_2": 8,
        "sc_reasoning": "good",
        "pq_score": 9,
        "pq_reasoning": "good",
        "o_score": 8.5,
    }
    return {**row, **changed}


def write_parquet(path: Path, rows: list[dict], schema: pa.Schema, group: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=group)
    return path


def write_arrow(path: Path, rows: list[dict], schema: pa.Schema) -> Path:
    """As `datasets` saves to disk: a stream of record batches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema), max_chunksize=3)
    return path


def write_folder(folder: Path, count: int, size: tuple[int, int] = (64, 64)) -> Path:
    """Pairs as PNG files with pairs.jsonl; every second row has a task."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(count):
        row = {"source": f"images/{i}_a.png", "target": f"images/{i}_b.png", "instruction": f"turn the circle {i % 3}"}
        picture(i, size).save(folder / row["source"])
        picture(i + 1000, size).save(folder / row["target"])
        lines.append(row | ({"task": "recolour"} if i % 2 else {}))
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "pairs.jsonl").write_text(text, encoding="utf-8")
    return folder
