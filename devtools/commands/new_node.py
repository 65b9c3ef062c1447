"""Writes the stubs of a new node, each where it belongs, so that what a node costs is in front of you.

    python dev.py new-node NAME ["Display Name"]     # NAME as a module is named: sharpen_edges

It writes the core file, the node, their tests, the help pages and the Chinese words, and adds the node's line to
nodes/__init__.py. Nothing that is there is replaced. Every place that needs a person says TO WRITE, and a test fails
as long as one does.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CORE = '''"""TO WRITE: what it does, in one sentence."""

from __future__ import annotations

from torch import Tensor


def {name}(image: Tensor) -> Tensor:
    """TO WRITE: one sentence.

    Args:
        image: (B, H, W, 3) float in [0, 1].
    Returns:
        (B, H, W, 3).
    Source: TO WRITE: the paper's equation or the file it comes from.
    """
    return image
'''

NODE = '''"""{node}: TO WRITE."""

from comfy_api.latest import io

from ..icedit_core import {name}


class {node}(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="{node}",
            display_name="{title}",
            category="ICEdit/edit",
            description="TO WRITE: what it does, for people.",
            search_aliases=["TO WRITE"],
            inputs=[io.Image.Input("image", tooltip="TO WRITE: what goes in, its range and unit.")],
            outputs=[io.Image.Output(tooltip="TO WRITE: what comes out.")],
        )

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        return io.NodeOutput({name}.{name}(image))


NODES = [{node}]
'''

CORE_TEST = '''"""TO WRITE: what is held here."""

import torch

from icedit_core.{name} import {name}


def test_to_write():
    image = torch.rand(1, 16, 16, 3)
    assert not torch.equal({name}(image), image), "TO WRITE"
'''

HOST_TEST = '''"""{node} in the real host."""


async def test_to_write(client):
    assert "{node}" not in await client.object_info(), "TO WRITE: run it in a small graph, see tests/host/graphs.py"
'''

PAGE = """# {title}

TO WRITE: what it does.

## When to use it

TO WRITE.

<!-- made by: python dev.py bench locales -->
<!-- end -->

## Common mistakes

- **TO WRITE.** TO WRITE.

## Next

- TO WRITE.
"""

CHINESE_PAGE = """# {title}

TO WRITE

## \u4ec0\u4e48\u65f6\u5019\u7528

TO WRITE

<!-- made by: python dev.py bench locales -->
<!-- end -->

## \u5e38\u89c1\u95ee\u9898

- **TO WRITE** TO WRITE

## \u63a5\u4e0b\u6765

- TO WRITE
"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py new-node", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="the module's name, e.g. sharpen_edges")
    parser.add_argument("title", nargs="?", help="what people read on the node (default: made of the name)")
    options = parser.parse_args(argv)
    try:
        written = write(ROOT, options.name, options.title)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 1
    print("\n".join(map(str, written)))
    print(
        "\nThen: python dev.py bench locales; a line in docs/nodes.md and docs/nodes.zh.md; a workflow in "
        "devtools/workflows if it needs one; a line in CHANGELOG.md."
    )
    return 0


def write(root: Path, name: str, title: str | None = None) -> list[Path]:
    """Write the stubs below `root`.

    Returns:
        the files written or changed, from `root`.
    Raises:
        ValueError: the name is none for a module, or one of its files is there.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(f"new-node: got {name!r}, but a module's name is needed, e.g. sharpen_edges. Use a-z, 0-9, _.")
    words = [word.capitalize() for word in name.split("_")]
    values = {"name": name, "node": f"ICEdit{''.join(words)}", "title": title or f"ICEdit {' '.join(words)}"}
    stubs = {
        f"icedit_core/{name}.py": CORE,
        f"nodes/{name}.py": NODE,
        f"tests/core/test_{name}.py": CORE_TEST,
        f"tests/host/test_{name}.py": HOST_TEST,
        f"web/docs/{values['node']}.md": PAGE,
        f"web/docs/{values['node']}/zh.md": CHINESE_PAGE,
    }
    if there := [path for path in stubs if (root / path).exists()]:
        raise ValueError(f"new-node: {', '.join(there)} is there already, but new files are needed. Take another name.")
    for path, text in stubs.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text.format(**values), encoding="utf-8")
    _list(root / "nodes" / "__init__.py", name)
    _translate(root / "locales" / "zh" / "nodeDefs.json", values)
    return [*map(Path, stubs), Path("nodes/__init__.py"), Path("locales/zh/nodeDefs.json")]


def _list(file: Path, name: str) -> None:
    """The node's line at the end of MODULES."""
    before, rest = file.read_text(encoding="utf-8").split("MODULES = (\n", 1)
    listed, after = rest.split(")\n", 1)
    file.write_text(f'{before}MODULES = (\n{listed}    "{name}",\n)\n{after}', encoding="utf-8")


def _translate(file: Path, values: dict[str, str]) -> None:
    words = json.loads(file.read_text(encoding="utf-8"))
    words[values["node"]] = {
        "display_name": f"TO WRITE {values['title']}",
        "description": "TO WRITE",
        "inputs": {"image": {"name": "TO WRITE", "tooltip": "TO WRITE"}},
        "outputs": {"0": {"name": "TO WRITE", "tooltip": "TO WRITE"}},
    }
    file.write_text(json.dumps(words, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
