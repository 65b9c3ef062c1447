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
    watch = Watch()
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfyui_version
    import server

    import nodes

    loop = asyncio.new_event_loop()
    server.PromptServer(loop)  # nodes add their routes to it
    loop.run_until_complete(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    watch.lap("host")
    modules, names = set(sys.modules), set(nodes.NODE_CLASS_MAPPINGS)
    asked.clear()  # what the host itself asked for is not ours
    loaded = loop.run_until_complete(nodes.load_custom_node(str(Path(base) / "custom_nodes" / "ICEdit")))
    watch.lap("pack")
    ours = sorted(set(nodes.NODE_CLASS_MAPPINGS) - names)
    for name in ours:
        nodes.NODE_CLASS_MAPPINGS[name].GET_NODE_INFO_V1()
    watch.lap("object_info")
    fresh = collections.Counter(_package(name) for name in set(sys.modules) - modules)
    if not loaded:
        raise RuntimeError("the pack was not loaded")
    return {
        "seconds": watch.seconds,
        "work": watch.work,
        "nodes": len(ours),
        "modules": dict(sorted(fresh.items())),
        "network": asked,
        "comfyui": comfyui_version.__version__,
    }


class Watch:
    """Seconds of each part by the clock, and of work: what else the machine does counts in the first only."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.work: dict[str, float] = {}
        self._began = self._now()

    def lap(self, name: str) -> None:
        now = self._now()
        self.seconds[name], self.work[name] = (there - then for there, then in zip(now, self._began, strict=True))
        self._began = now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


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
