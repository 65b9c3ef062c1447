"""Encoding rows into the files of a cache."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..prompt import TEMPLATES, wrap
from .base import Base
from .data.rows import BrokenRow, Row, Rows, hash_of
from .parts import LATENT_CHANNELS, LATENT_PIXELS

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

VERSION = "1"
INDEX = "index.json"
PROMPTS = {"ic": "in-context", "direct": "direct"}
FITS = ("stretch", "crop")
EMPTY = " "  # the published text dropout
EDITED = 0.06  # a pixel is edited when a channel differs by more than this share of its range
ROWS_A_FILE, ROWS_A_BATCH = 256, 8
PROMPTS_A_FILE, PROMPTS_A_BATCH = 64, 8
ABANDONED = 3600.0  # seconds
GIB = 1 << 30
REPORTED = 20  # broken rows named in the log
MULTIPLE = 2 * LATENT_PIXELS  # FLUX packs 2x2 latent cells into a token


@dataclass(frozen=True)
class Plan:
    """What to make of a row."""

    base: Base
    panel: tuple[int, int]
    template: str
    fit: str
    dtype: torch.dtype


def identity_of(rows: Rows, base: Base, panel: tuple[int, int], prompt: str, fit: str, dtype: torch.dtype) -> str:
    """A short name of everything that a cache's content follows from.

    Raises:
        ValueError: an impossible panel, prompt or fit.
    """
    if len(panel) != 2 or any(side < MULTIPLE or side % MULTIPLE for side in panel):
        raise ValueError(f"cache: got a panel of {panel} px, but multiples of {MULTIPLE} are needed. Correct panel.")
    for name, value, known in (("prompt", prompt, tuple(PROMPTS)), ("fit", fit, FITS)):
        if value not in known:
            raise ValueError(f"cache: got {name} {value!r}, but one of {', '.join(known)} is needed. Correct {name}.")
    template = TEMPLATES[PROMPTS[prompt]]
    return hash_of(
        VERSION, rows.fingerprint(), base.encoders_fingerprint(), str(tuple(panel)), template, fit, str(dtype)
    )


def expected_bytes(rows: int, base: Base, panel: tuple[int, int], dtype: torch.dtype = torch.float32) -> int:
    """What a cache of so many rows takes at most, that is if every instruction is another.

    For FLUX Fill at 512x512 px in bfloat16 a row takes 0.5 MB and a prompt 4.2 MB.
    """
    width, height = panel
    cells = 2 * width * height // LATENT_PIXELS**2
    text = base.text_tokens * base.config["joint_attention_dim"] + base.config["pooled_projection_dim"]
    numbers = rows * (2 * LATENT_CHANNELS + 1) * cells + (rows + 1) * text
    return numbers * stored_as(dtype, base).itemsize


def stored_as(dtype: torch.dtype, base: Base) -> torch.dtype:
    """The type to store in: never longer than the one that the base computes in, which would add nothing."""
    return min(dtype, base.dtype, key=lambda kind: kind.itemsize)


def build(
    rows: Rows,
    base: Base,
    panel: tuple[int, int],
    prompt: str,
    fit: str,
    place: Path,
    dtype: torch.dtype,
    progress: Progress | None,
) -> None:
    """Write the missing files of the cache in `place`, its index last.

    Raises:
        ValueError: every row is broken.
    """
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    _tell_size(place, expected_bytes(len(rows), base, panel, dtype))
    plan = Plan(base, panel, TEMPLATES[PROMPTS[prompt]], fit, dtype)
    tell = progress or (lambda what, done, total: None)
    row_files, found = [], []
    for start in range(0, len(rows), ROWS_A_FILE):
        stop = min(start + ROWS_A_FILE, len(rows))
        file = place / f"rows-{start:09d}.safetensors"
        if not file.is_file():
            _write(file, *_encode_rows(plan, rows, range(start, stop)))
        found.append(_metadata(file))
        if found[-1]["keys"]:
            row_files.append(file.name)
        tell("rows", stop, len(rows))
    broken = [pair for facts in found for pair in facts["broken"]]
    _report(broken, len(rows))
    prompts = list(dict.fromkeys([EMPTY, *(prompt for facts in found for prompt in facts["prompts"])]))
    prompt_files = list(_encode_prompts(plan, prompts, place, tell))
    index = {**_index(found, prompts), "broken": broken, "row_files": row_files, "prompt_files": prompt_files}
    _replace(place / INDEX, lambda path: path.write_text(json.dumps(index), encoding="utf-8"))


def _tell_size(place: Path, expected: int) -> None:
    needed, free = expected / GIB, shutil.disk_usage(place).free / GIB
    log.info("the cache in %s takes up to %.1f GiB", place, needed)
    if needed > free:
        log.warning("the cache takes up to %.1f GiB, but only %.1f GiB are free at %s", needed, free, place)


def _index(found: list[dict[str, Any]], prompts: list[str]) -> dict[str, list[Any]]:
    """Key, task and number of the prompt of every item, from what the files of rows say."""
    numbers = {prompt: number for number, prompt in enumerate(prompts)}
    return {
        "keys": [key for facts in found for key in facts["keys"]],
        "tasks": [task for facts in found for task in facts["tasks"]],
        "texts": [numbers[prompt] for facts in found for prompt in facts["prompts"]],
    }


def _report(broken: list[list[str]], total: int) -> None:
    for key, reason in broken[:REPORTED]:
        log.warning("row %s is left out: %s", key, reason)
    if len(broken) > REPORTED:
        log.warning("and %d more rows", len(broken) - REPORTED)
    if len(broken) == total:
        first = f" The first, {broken[0][0]}: {broken[0][1]}." if broken else ""
        raise ValueError(f"training data: {len(broken)} of {total} rows are broken, but some are needed.{first}")


def _encode_rows(plan: Plan, rows: Rows, which: range) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of the good rows among `which`, and their keys, tasks and prompts beside the broken ones."""
    facts: dict[str, list[Any]] = {"keys": [], "tasks": [], "prompts": [], "broken": []}
    parts: dict[str, list[Tensor]] = {"target": [], "condition": [], "changed": []}
    waiting: list[tuple[Tensor, Tensor]] = []
    for index in which:
        try:
            row = rows[index]
            prompt = _prompt(plan, row)
        except BrokenRow as error:
            facts["broken"].append([error.key, error.reason])
        else:
            waiting.append((_pixels(row.source, plan), _pixels(row.target, plan)))
            for name, value in (("keys", row.key), ("tasks", row.task), ("prompts", prompt)):
                facts[name].append(value)
        if waiting and (len(waiting) == ROWS_A_BATCH or index == which[-1]):
            _encode_pairs(plan, parts, *map(torch.stack, zip(*waiting, strict=True)))
            waiting = []
    return {name: torch.cat(values) for name, values in parts.items() if values}, facts


def _prompt(plan: Plan, row: Row) -> str:
    prompt = wrap(row.instruction, plan.template)
    if problem := plan.base.prompt_problem(prompt):
        raise BrokenRow(row.key, f"the prompt {problem}")
    return prompt


def _pixels(image: Image.Image, plan: Plan) -> Tensor:
    """The picture at the panel's size, (3, H, W) in [0, 1]."""
    box = None
    if plan.fit == "crop":
        (w, h), (pw, ph) = image.size, plan.panel
        cut_w, cut_h = min(w, h * pw / ph), min(h, w * ph / pw)
        box = ((w - cut_w) / 2, (h - cut_h) / 2, (w + cut_w) / 2, (h + cut_h) / 2)
    sized = image.resize(plan.panel, Image.Resampling.BICUBIC, box=box)
    return torch.from_numpy(np.array(sized)).permute(2, 0, 1).float() / 255


def _encode_pairs(plan: Plan, parts: dict[str, list[Tensor]], source: Tensor, target: Tensor) -> None:
    """Append the latents of source | target and source | grey, each encoded as one picture, and the edited share."""
    edited = ((target - source).abs().amax(1, keepdim=True) > EDITED).float()
    right = F.avg_pool2d(edited, LATENT_PIXELS)
    parts["changed"].append(torch.cat([torch.zeros_like(right), right], 3).to(plan.dtype))
    for name, other in (("target", target), ("condition", torch.full_like(source, 0.5))):
        latents = plan.base.encode_images(torch.cat([source, other], 3))
        if not latents.isfinite().all():
            raise ValueError(
                f"cache: the autoencoder in {plan.base.dtype} gives latents that are not finite, but numbers are "
                'needed. Set the base\'s dtype to "float32".'
            )
        parts[name].append(latents.to("cpu", plan.dtype))


def _encode_prompts(plan: Plan, prompts: list[str], place: Path, tell: Progress) -> Iterator[str]:
    for start in range(0, len(prompts), PROMPTS_A_FILE):
        chosen = prompts[start : start + PROMPTS_A_FILE]
        file = place / f"prompts-{hash_of(*chosen)}.safetensors"
        if not file.is_file():
            batches = [chosen[i : i + PROMPTS_A_BATCH] for i in range(0, len(chosen), PROMPTS_A_BATCH)]
            states, pooled = zip(*(plan.base.encode_prompts(batch) for batch in batches), strict=True)
            tensors = {"states": torch.cat(states), "pooled": torch.cat(pooled)}
            _write(file, {name: value.to("cpu", plan.dtype) for name, value in tensors.items()}, {})
        tell("prompts", start + len(chosen), len(prompts))
        yield file.name


def _write(file: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    # A file without tensors is one whose rows are all broken.
    whole = {name: value.contiguous() for name, value in tensors.items()}
    _replace(file, lambda path: save_file(whole, path, metadata={"facts": json.dumps(facts)}))


def _metadata(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["facts"])


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    """Write beside `file`, then put it in place at once: a kill leaves the whole file or none."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    temporary.touch()
    mode = stat.S_IMODE(temporary.stat().st_mode)  # as the user's umask has it, and not for the owner alone
    write(temporary)
    temporary.chmod(mode)
    with temporary.open("rb+") as opened:
        os.fsync(opened.fileno())
    temporary.replace(file)


def _sweep(place: Path) -> None:
    """Remove what killed runs left half written; younger files may be those of a run beside this one."""
    for file in place.glob("*.tmp"):
        if time.time() - file.stat().st_mtime > ABANDONED:
            file.unlink(missing_ok=True)
