"""Small data sets of exactly the published layouts, each with every kind of broken row."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image


def image(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture that is smooth and of its own."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def packed(seed: int, size: tuple[int, int] = (64, 48)) -> dict:
    """As `datasets` keeps a picture in a Parquet file."""
    data = io.BytesIO()
    image(seed, size).save(data, "PNG")
    return {"bytes": data.getvalue(), "path": None}


def save(folder: Path, name: str, seed: int, size: tuple[int, int] = (64, 48)) -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    image(seed, size).save(file)
    return name


def parquet(folder: Path, rows: list[dict]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00000-of-00001.parquet")
    return folder


def magicbrush(folder: Path) -> Path:
    def row(img: str, turn: int, **more) -> dict:
        base = {"img_id": img, "turn_index": turn, "source_img": packed(turn), "mask_img": packed(9)}
        return base | {"instruction": "make it red", "target_img": packed(turn + 1)} | more

    broken = {"bytes": b"nonsense", "path": None}
    return parquet(folder, [
        row("7", 1), row("7", 2), row("8", 1, source_img=None), row("8", 2, instruction=" "),
        row("9", 1, target_img=broken), row("7", 1),
    ])  # fmt: skip


def emu(folder: Path) -> Path:
    def row(idx: int, **more) -> dict:
        base = {"instruction": "make it red", "image": packed(idx), "task": "color", "split": "test", "idx": idx}
        return base | {"hash": "x", "input_caption": "a grey cat", "output_caption": "a red cat"} | more

    broken = {"bytes": b"nonsense", "path": None}
    return parquet(folder, [row(1), row(2, output_caption=None), row(3, image=None), row(4, instruction=""),
                            row(5, image=broken), row(1)])  # fmt: skip


def gedit(folder: Path) -> Path:
    def row(key: str, language: str = "en", **more) -> dict:
        base = {"task_type": "color_alter", "key": key, "instruction": "make it red", "instruction_language": language}
        return base | {"input_image": packed(1), "input_image_raw": packed(2), "Intersection_exist": True} | more

    broken = {"bytes": b"nonsense", "path": None}
    return parquet(folder, [
        row("a"), row("b", task_type="style_change"), row("a", "cn", instruction="bian hong"),
        row("c", input_image_raw=None, input_image=None), row("d", instruction=" "), row("e", input_image_raw=broken),
        row("a"),
    ])  # fmt: skip


def imgedit(folder: Path) -> Path:
    rows = {
        "1": {
            "id": save(folder / "singleturn", "animal/1.jpg", 1),
            "prompt": "x",
            "edit_type": "add",
        },
        "2": {"id": save(folder / "singleturn", "2.jpg", 2), "prompt": "remove it", "edit_type": "remove"},
        "3": {"id": "none.jpg", "prompt": "x", "edit_type": "add"},
        "4": {"id": "2.jpg", "prompt": " ", "edit_type": "add"},
        "5": {"id": "../basic_edit.json", "prompt": "x", "edit_type": "add"},
        "6": ["x"],
    }
    (folder / "singleturn" / "7.jpg").write_bytes(b"nonsense")
    rows["7"] = {"id": "7.jpg", "prompt": "x", "edit_type": "add"}
    (folder / "basic_edit.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def pie(folder: Path) -> Path:
    def row(number: int, **more) -> dict:
        base = {"image_path": f"1_change/{number}.jpg", "original_prompt": "a [grey] cat", "blended_word": "cat cat"}
        base |= {"editing_prompt": "a [red] cat", "editing_instruction": "make it red", "editing_type_id": "1"}
        return base | {"mask": [512 * 100 + 50, 200, 512 * 101 + 50, 200]} | more

    for number in (0, 1):
        save(folder / "annotation_images", f"1_change/{number}.jpg", number, (512, 512))
    save(folder / "annotation_images", "small.jpg", 5)
    rows = {
        "0": row(0), "1": row(1, editing_type_id="9"), "2": row(2), "3": row(0, editing_instruction=""),
        "4": row(0, mask=[1, 2, 3]), "5": row(0, mask=[512 * 512, 1]), "6": row(0, image_path="small.jpg"),
        "7": row(0, editing_prompt=None),
    }  # fmt: skip
    (folder / "mapping_file.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def own(folder: Path) -> Path:
    source, target = save(folder, "1.png", 1), save(folder, "2.png", 2, (32, 24))
    mask = Image.new("L", (64, 48))
    mask.paste(255, (10, 10, 30, 30))
    mask.save(folder / "mask.png")
    (folder / "bad.png").write_bytes(b"nonsense")
    good = {"source": source, "instruction": "make it red", "id": "good"}
    lines = [
        {**good, "target": target, "mask": "mask.png", "source_caption": "a", "target_caption": "b", "task": "colour"},
        {**good, "id": "plain"}, {**good, "id": "gone", "source": "none.png"},
        {**good, "id": "mute", "instruction": ""},
        {**good, "id": "bad", "source": "bad.png"}, {**good, "id": "out", "source": "../x.png"}, good,
        {**good, "id": "mask", "mask": target},
    ]  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{no\n", encoding="utf-8")
    return folder


def scenes(folder: Path, count: int) -> tuple[Path, list]:
    """Unseen scenes of the demo as `demo/export_pairs.py` writes seen ones, and the scenes."""
    from demo import scenes as demo

    folder.mkdir(parents=True, exist_ok=True)
    made = demo.unseen(count)
    lines = []
    for number, scene in enumerate(made):
        row = {"source": f"{number}_source.png", "target": f"{number}_target.png", "id": str(number)}
        for name, pixels in (("source", scene.source), ("target", scene.target)):
            Image.fromarray((pixels * 255).round().astype("uint8")).save(folder / row[name])
        lines.append({**row, "instruction": scene.instruction, "task": scene.task})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder, made
