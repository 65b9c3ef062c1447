"""A person as a judge: pictures go to the browser that queued the graph, a click comes back."""

import asyncio
import io
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web
from PIL import Image
from server import PromptServer
from torch import Tensor

from ...icedit_core.judges import Answer, JudgeUnavailable

ASK, OVER = "icedit.choice", "icedit.choice_over"  # websocket events
EVERY = 0.1  # seconds between looks at what the browser sent
SHOWN_WITHIN = 15.0  # seconds in which the page must say that it shows the pictures
GONE_AFTER = 60.0  # seconds without any page that shows them; a reload takes a few
LONGEST_BODY = 4096  # bytes of what a page posts
LONGEST_ID = 64  # characters of a websocket's id
WHO = "ICEdit Judge (person)"
REMEDY = "Queue from ComfyUI's own page and stay there, or use another judge; the candidates are kept."

_open: dict[str, "Choice"] = {}


@dataclass
class Choice:
    """Pictures that wait for a click.

    node: the judge's node id, where the page shows them; pictures: name -> PNG, "source" and "0", "1", ...;
    owner: websocket id of the client that queued, whose page must stay; shown: whether it shows them;
    index: what was clicked.
    """

    node: str
    instruction: str
    pictures: dict[str, bytes]
    owner: str
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    shown: bool = False
    index: int | None = None

    @property
    def count(self) -> int:
        return len(self.pictures) - 1

    def public(self) -> dict[str, str | int]:
        return {"id": self.key, "node": self.node, "instruction": self.instruction, "count": self.count}

    async def made(self, server: PromptServer) -> int:
        """Wait for the click.

        Raises:
            JudgeUnavailable: the page that queued does not show the pictures, or is gone.
        """
        seen = time.monotonic()
        while self.index is None:
            if self.shown and self.owner in server.sockets:
                seen = time.monotonic()
            patience = GONE_AFTER if self.shown else SHOWN_WITHIN
            if time.monotonic() - seen > patience:
                what = "the page that showed the pictures is gone" if self.shown else "no page shows the pictures"
                raise JudgeUnavailable(f"{WHO}: {what}, but somebody has to click on one. {REMEDY}")
            await asyncio.sleep(EVERY)
        return self.index


@dataclass(frozen=True)
class PersonJudge:
    """Whoever sits at the browser that queued the graph; see `Chooser`. node: where the pictures are shown."""

    node: str
    name: str = "a person"

    async def ask(self, pictures: Sequence[Tensor], question: str, most_tokens: int) -> Answer:
        raise JudgeUnavailable(
            f"{WHO}: asked for words or numbers, but a person clicks on the best picture here. Use ICEdit Rank or "
            "ICEdit Best Of, or another judge."
        )

    async def choose(self, source: Tensor, candidates: Sequence[Tensor], instruction: str) -> int:
        """See `Chooser.choose`."""
        server = PromptServer.instance
        if server.client_id not in server.sockets:
            raise JudgeUnavailable(f"{WHO}: nobody is connected to this run, but somebody has to click. {REMEDY}")
        pictures = {str(index): _png(picture) for index, picture in enumerate(candidates)}
        choice = Choice(self.node, instruction, {"source": _png(source)} | pictures, server.client_id)
        _open[choice.key] = choice
        try:
            server.send_sync(ASK, choice.public(), choice.owner)
            return await choice.made(server)
        finally:
            del _open[choice.key]
            server.send_sync(OVER, {"id": choice.key})


def _png(picture: Tensor) -> bytes:
    pixels = (picture.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


routes = PromptServer.instance.routes


def _find(request: web.Request) -> Choice:
    try:
        return _open[request.match_info["key"]]
    except KeyError:
        raise web.HTTPNotFound(text="This choice is over.") from None


async def _sent(request: web.Request, name: str, kind: type):
    """One field of the JSON that was posted."""
    body = b""
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise web.HTTPRequestEntityTooLarge(LONGEST_BODY, len(body))
    try:
        value = json.loads(body)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if type(value) is not kind:
        raise web.HTTPBadRequest(text=f"'{name}' is missing or no {kind.__name__}.")
    return value


@routes.get("/icedit/choices")
async def waiting(request: web.Request) -> web.Response:
    """All choices that wait, so that a page that was reloaded shows them again."""
    return web.json_response([choice.public() for choice in list(_open.values()) if choice.index is None])


@routes.get("/icedit/choices/{key}/{picture}")
async def picture(request: web.Request) -> web.Response:
    data = _find(request).pictures.get(request.match_info["picture"])
    if data is None:
        raise web.HTTPNotFound(text="No such picture.")
    return web.Response(body=data, content_type="image/png")


@routes.post("/icedit/choices/{key}/shown")
async def shown(request: web.Request) -> web.Response:
    """A page says that it shows the pictures; that of the client that queued keeps the run waiting."""
    choice, client = _find(request), await _sent(request, "client_id", str)
    if len(client) > LONGEST_ID or client not in PromptServer.instance.sockets:
        raise web.HTTPBadRequest(text="'client_id' is the id of no open page.")
    choice.shown = choice.shown or client == choice.owner
    return web.json_response({"waits_for_this_page": client == choice.owner})


@routes.post("/icedit/choices/{key}")
async def choose(request: web.Request) -> web.Response:
    """The click; the first one counts."""
    choice, index = _find(request), await _sent(request, "index", int)
    if not 0 <= index < choice.count:
        raise web.HTTPBadRequest(text=f"'index' is {index}, but 0 to {choice.count - 1} is needed.")
    if choice.index is None:
        choice.index = index
    return web.json_response({"index": choice.index})
