"""One start of ComfyUI with the pack in custom_nodes, timed from inside; prints one line of JSON.

python footprint_child.py COMFYUI BASE
"""

import asyncio
import collections
import contextlib
import io
import json
import sys
import time
from pathlib import Path


def main(comfyui: str, base: str) -> dict:
    sys.path.insert(0, comfyui)
    sys.argv = ["main.py", "--cpu", "--base-directory", base]
    asked: list[str] = []
    sys.addaudithook(lambda event, args: _listen(asked, event, args))
    seconds = {}
    began = time.perf_counter()
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfyui_version
    import server

    import nodes

    loop = asyncio.new_event_loop()
    server.PromptServer(loop)  # nodes add their routes to it
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    seconds["host"], began = time.perf_counter() - began, time.perf_counter()
    modules, names = set(sys.modules), set(nodes.NODE_CLASS_MAPPINGS)
    asked.clear()  # what the host itself asked for is not ours
    loaded = loop.run_until_complete(nodes.load_custom_node(str(Path(base) / "custom_nodes" / "ICEdit")))
    seconds["pack"], began = time.perf_counter() - began, time.perf_counter()
    ours = sorted(set(nodes.NODE_CLASS_MAPPINGS) - names)
    for name in ours:
        nodes.NODE_CLASS_MAPPINGS[name].GET_NODE_INFO_V1()
    seconds["object_info"] = time.perf_counter() - began
    fresh = collections.Counter(_package(name) for name in set(sys.modules) - modules)
    if not loaded:
        raise RuntimeError("the pack was not loaded")
    return {
        "seconds": seconds,
        "nodes": len(ours),
        "modules": dict(sorted(fresh.items())),
        "network": asked,
        "comfyui": comfyui_version.__version__,
    }


def _package(name: str) -> str:
    return "this pack" if "ICEdit" in name else name.split(".")[0]


def _listen(asked: list[str], event: str, args: tuple) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        asked.append(str(args[1] if event == "socket.connect" else args[0]))


if __name__ == "__main__":
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # custom nodes and the host may print
        found = main(*sys.argv[1:3])
    print(json.dumps(found))
