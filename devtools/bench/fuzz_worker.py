"""Runs fuzzed files through the adapter reader in a process of its own, which may die or hang.

    python devtools/bench/fuzz_worker.py FOLDER SEED FIRST

Before a file is read its number goes out, a line of JSON; after it the outcome, or the find. The file lies in FOLDER
under one name, so whoever watches has it if this process says no more.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from devtools.bench.fuzz_check import Find, judge, peak_bytes  # noqa: E402
from devtools.bench.fuzz_drafts import parsed, starts  # noqa: E402
from devtools.bench.fuzz_mutations import mutate  # noqa: E402

NAME = "case.safetensors"
POOL = 400  # files that led to something new, to be changed further
LARGEST = 20_000  # bytes of a file in the pool: what is long only makes the fuzz slow
MORE_MEMORY = 4 << 30  # address space beyond the start's: an allocation by a file's claim fails instead of swapping


def main(folder: Path, seed: int, first: int) -> None:
    limit_memory()
    pool = [draft.pack() for draft in starts(random.Random(seed))]
    seen: set[str] = set()
    index = first
    while True:
        draw = random.Random(f"{seed}:{index}")
        fresh = draw.random() < 0.5
        data = mutate(draw.choice(starts(draw)).pack() if fresh else draw.choice(pool), pool, draw)
        say(case=index)
        try:
            outcome = judge(written(folder, data))
        except Find as find:
            text, small = str(find), minimised(folder, data, template(str(find)))
            say(find=text, template=template(text), data=small.hex(), peak=peak_bytes())
        else:
            words = template(outcome.words)
            if words not in seen and len(data) <= LARGEST and len(pool) < POOL:
                seen.add(words)
                pool.append(data)
            say(kind=outcome.kind, template=words, peak=peak_bytes())
        index += 1


def written(folder: Path, data: bytes) -> Path:
    """The case on disk, in a new file each time: an earlier one may still be in use by what was read from it."""
    path = folder / NAME
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def template(words: str) -> str:
    """What was said, without the figures and names of this one file: those hold dots, digits or long words."""
    told = words.removeprefix("ICEdit adapter: ").split(". ")[0].split()
    plain = [re.fullmatch(r"[('\"`]?([A-Za-z_]{1,14})[)'\"`,:;.]?", word) for word in told]
    return " ".join(match[1] for match in plain[:40] if match)[:80]


def minimised(folder: Path, data: bytes, wanted: str, tries: int = 300) -> bytes:
    """A smaller file with the same find: entries left out, then the tail cut off, as long as it lasts."""

    def still(smaller: bytes) -> bool:
        try:
            judge(written(folder, smaller))
        except Find as find:
            return template(str(find)) == wanted
        return False

    for shrink in (without_an_entry, without_a_tail):
        data, tries = shrunk(data, shrink, still, tries)
    return data


def shrunk(
    data: bytes, shrink: Callable[[bytes], list[bytes]], still: Callable[[bytes], bool], tries: int
) -> tuple[bytes, int]:
    while tries > 0:
        for smaller in shrink(data):
            tries -= 1
            if tries >= 0 and still(smaller):
                data = smaller
                break
        else:
            break
    return data, tries


def without_an_entry(data: bytes) -> list[bytes]:
    try:
        draft = parsed(data)
        if draft.pack() != data:
            return []
    except Exception:  # not a file in parts
        return []
    kept = [draft.entries[:i] + draft.entries[i + 1 :] for i in range(len(draft.entries))]
    return [type(draft)(entries, draft.metadata).pack() for entries in kept if entries]


def without_a_tail(data: bytes) -> list[bytes]:
    return [data[: len(data) * part // 8] for part in range(1, 8)]


def limit_memory() -> None:
    if not sys.platform.startswith("linux"):
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
