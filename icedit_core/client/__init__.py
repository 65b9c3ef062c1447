"""A client for ComfyUI's HTTP and websocket interface: upload, queue, follow, download, interrupt.

It needs aiohttp alone, which every ComfyUI has. Nothing here knows ICEdit: any graph in the API format runs.

    async with ComfyClient("http://127.0.0.1:8188") as client:
        image = await client.upload_image(Path("photo.png"))
        graph["1"]["inputs"]["image"] = image.widget
        result = await client.run(graph, on_progress=print, timeout=600)
        data = await client.download(result.images()[0])
"""

from .api import ComfyClient
from .errors import (
    ComfyError,
    ExecutionFailed,
    ExecutionInterrupted,
    PromptRejected,
    RequestFailed,
    RunTimeout,
    ServerUnreachable,
    UnexpectedAnswer,
)
from .messages import Graph, ImageRef, Progress, Result

__all__ = [
    "ComfyClient",
    "ComfyError",
    "ExecutionFailed",
    "ExecutionInterrupted",
    "Graph",
    "ImageRef",
    "Progress",
    "PromptRejected",
    "RequestFailed",
    "Result",
    "RunTimeout",
    "ServerUnreachable",
    "UnexpectedAnswer",
]
