"""`icedit batch` over two real servers, one of which is killed half-way: the rows are those of a single server."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import time

import numpy as np
import pytest
from PIL import Image

from devtools.server import MEMORY_LIMIT, running_host
from icedit_core.batch import records

from . import graphs

ROWS, STEPS = 6, 2
WORDS = ("paint the cyan circle red", "remove the cyan circle", "make the background black", "make it grey")


def rows_in(folder):
    """A JSONL of the example picture, turned and mirrored, with words in turn."""
    folder.mkdir()
    with Image.open(graphs.ROOT / "demo" / "example.png") as image:
        small = image.convert("RGB").resize((96, 96))
    lines = []
    for number in range(ROWS):
        turned = np.rot90(np.asarray(small), number % 4)
        Image.fromarray(np.ascontiguousarray(turned)).save(folder / f"{number}.png")
        lines.append({"image": f"{number}.png", "instruction": WORDS[number % 4], "id": str(number), "seed": number})
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


async def started(rows, out, *urls):
    command = [sys.executable, "-m", "icedit_core.cli", "batch", str(rows), "-o", str(out), "--workflow", "icedit_demo"]
    command += ["--set", f"KSampler.steps={STEPS}", *(part for url in urls for part in ("--server", url))]
    environment = {**os.environ, "PYTHONPATH": str(graphs.ROOT)}
    return await asyncio.create_subprocess_exec(
        *command, cwd=out.parent, env=environment, stderr=asyncio.subprocess.PIPE
    )


async def ended(process) -> str:
    _, words = await asyncio.wait_for(process.communicate(), 300)
    assert process.returncode == 0, words.decode()
    return words.decode()


def found(out) -> dict[str, dict]:
    file = out / records.NAME
    every = list(records.read(file)[1]) if file.is_file() and file.stat().st_size else []
    assert len(every) == len({record["row"] for record in every})
    return {record["row"]: record for record in every}


def pixels(out, record) -> np.ndarray:
    (file,) = record["files"]
    return np.asarray(Image.open(io.BytesIO((out / file).read_bytes())))


async def edited_alone(rows, out, url) -> dict[str, dict]:
    """The records of one server's run, all of them edits."""
    await ended(await started(rows, out, url))
    records_of_it = found(out)
    assert len(records_of_it) == ROWS and not any(record["error"] for record in records_of_it.values())
    return records_of_it


async def test_every_row_is_edited_and_a_second_run_edits_none(server, tmp_path):
    rows, out = rows_in(tmp_path / "rows"), tmp_path / "out"
    made = await edited_alone(rows, out, server.url)
    assert all(record["nfe"] == STEPS and record["seed"] == int(key) for key, record in made.items())
    assert len({pixels(out, record).tobytes() for record in made.values()}) == ROWS
    assert await edited_alone(rows, out, server.url) == made


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a killed process is POSIX's here")
async def test_a_killed_servers_rows_are_edited_by_the_other(server, client, comfyui, tmp_path):
    rows, alone, both = rows_in(tmp_path / "rows"), tmp_path / "alone", tmp_path / "both"
    expected = await edited_alone(rows, alone, server.url)
    await client.free()
    with running_host(comfyui, graphs.ROOT, cpu=True, memory_limit=MEMORY_LIMIT) as second:
        process = await started(rows, both, server.url, second.url)
        until = time.monotonic() + 120
        while not any(record["server"] == second.url for record in found(both).values()):
            assert time.monotonic() < until and process.returncode is None
            await asyncio.sleep(0.05)
        second.process.kill()
        said = await ended(process)
    made = found(both)
    assert made.keys() == expected.keys()
    lost = {record["server"] for record in made.values()} - {server.url}
    assert lost == {second.url} and (f"{second.url} is lost" in said or len(made) == ROWS)
    for key, record in made.items():
        assert record["error"] is None and record["nfe"] == STEPS and record["seed"] == int(key)
        assert record["graph"] == expected[key]["graph"]
        assert np.array_equal(pixels(both, record), pixels(alone, expected[key])), key
