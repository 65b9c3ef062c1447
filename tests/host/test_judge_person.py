"""A person as the judge, played by a test that listens and clicks as the page's script does."""

import asyncio
import io
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest
from PIL import Image

from icedit_core.client import ExecutionFailed

from .test_best_of import box, sampled, stock

COLORS = (0xFF0000, 0x00FF00, 0x0000FF)


def person_graph(method="knockout"):
    """Three plain pictures, ranked by a person."""
    size = {"width": 32, "height": 16, "batch_size": 1}
    graph = {
        str(index): {"class_type": "EmptyImage", "inputs": size | {"color": color}}
        for index, color in enumerate(COLORS)
    }
    graph["source"] = {"class_type": "EmptyImage", "inputs": size | {"color": 0}}
    graph["two"] = {"class_type": "BatchImagesNode", "inputs": {"images.image0": ["0", 0], "images.image1": ["1", 0]}}
    graph["three"] = {
        "class_type": "BatchImagesNode",
        "inputs": {"images.image0": ["two", 0], "images.image1": ["2", 0]},
    }
    graph["judge"] = {"class_type": "ICEditJudgePerson", "inputs": {}}
    graph["rank"] = {
        "class_type": "ICEditRank",
        "inputs": {
            "source": ["source", 0],
            "candidates": ["three", 0],
            "instruction": "paint it green",
            "judge": ["judge", 0],
            "method": method,
            "both_orders": True,
        },
    }
    graph["save"] = {"class_type": "SaveImage", "inputs": {"images": ["rank", 0], "filename_prefix": "chosen"}}
    return graph


class Page:
    """What the page's script does: hears the events of its websocket, and answers over HTTP."""

    def __init__(self, url, session, socket, client_id):
        self.url, self.session, self.socket, self.client_id = url, session, socket, client_id

    async def event(self, *kinds, within=60):
        """The next event of these kinds."""

        async def wait():
            async for message in self.socket:
                if message.type is aiohttp.WSMsgType.TEXT and (event := json.loads(message.data))["type"] in kinds:
                    return event["data"]

        return await asyncio.wait_for(wait(), within)

    async def post(self, path, body):
        async with self.session.post(f"{self.url}/api/icedit/choices{path}", json=body) as answer:
            return answer.status

    async def get(self, path=""):
        async with self.session.get(f"{self.url}/api/icedit/choices{path}") as answer:
            return answer.status, await answer.read()

    async def shown(self, choice):
        assert await self.post(f"/{choice['id']}/shown", {"client_id": self.client_id}) == 200

    async def finished(self, client, prompt_id):
        """The history entry of a prompt, once it is there."""
        while not (entry := await client.history(prompt_id)):
            await asyncio.sleep(0.05)
        return entry


@asynccontextmanager
async def page_of(server, client):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/ws?clientId={client.client_id}", max_msg_size=0) as socket,
    ):
        yield Page(server.url, session, socket, client.client_id)


def complaint(entry):
    """The error of a failed run."""
    return next(data for kind, data in entry["status"]["messages"] if kind == "execution_error")["exception_message"]


async def test_a_click_picks_the_winner_and_every_run_asks_again(client, server):
    async with page_of(server, client) as page:
        for index in (1, 2):
            prompt = await client.queue(person_graph())
            choice = await page.event("icedit.choice")
            assert (choice["node"], choice["count"], choice["instruction"]) == ("judge", 3, "paint it green")
            await page.shown(choice)
            status, listed = await page.get()
            assert status == 200 and json.loads(listed) == [choice], "what a page that was reloaded asks for"
            for name, color in [("source", 0), *enumerate(COLORS)]:
                status, png = await page.get(f"/{choice['id']}/{name}")
                picture = Image.open(io.BytesIO(png))
                assert (status, picture.size) == (200, (32, 16))
                assert picture.getpixel((0, 0)) == tuple(color.to_bytes(3, "big"))
            assert await page.post(f"/{choice['id']}", {"index": index}) == 200
            assert (await page.event("icedit.choice_over"))["id"] == choice["id"]
            entry = await page.finished(client, prompt)
            text = "\n".join(entry["outputs"]["rank"]["text"])
            assert f"best is candidate {index} (choice)" in text
            assert f"1. candidate {index}, score 1.00, chosen by a person" in text
        assert json.loads((await page.get())[1]) == []


async def test_nonsense_is_refused_and_the_choice_stays_open(client, server):
    async with page_of(server, client) as page:
        prompt = await client.queue(person_graph())
        choice = await page.event("icedit.choice")
        await page.shown(choice)
        key = choice["id"]
        for body in ({"index": 3}, {"index": -1}, {"index": "1"}, {"index": True}, {}, []):
            assert await page.post(f"/{key}", body) == 400, body
        assert await page.post("/nobody", {"index": 0}) == 404
        assert (await page.get(f"/{key}/9"))[0] == 404 and (await page.get("/nobody/0"))[0] == 404
        assert await page.post(f"/{key}", {"index": 0}) == 200
        await page.finished(client, prompt)
        assert await page.post(f"/{key}", {"index": 0}) == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 3000, 400),
        (b'{"client_id":' * 300, 400),
        (b'{"client_id": "nobody"}', 400),
        (b'{"client_id": "' + b"x" * 65 + b'"}', 400),
        (b'{"client_id": "\\ud800"}', 400),
        (b'{"client_id": 7}', 400),
        (b"\xff", 400),
        (b"", 400),
        (b"[" * 100_000, 413),
        (b'{"client_id": "' + b"x" * 9_000_000 + b'"}', 413),
    ],
    ids=["lists", "objects", "unknown", "long", "surrogate", "number", "bytes", "nothing", "deep", "huge"],
)
async def test_what_a_page_posts_is_short_and_its_own(client, server, body, status):
    async with page_of(server, client) as page:
        prompt = await client.queue(person_graph())
        choice = await page.event("icedit.choice")
        for path in (f"/{choice['id']}/shown", f"/{choice['id']}"):
            try:
                async with page.session.post(f"{server.url}/api/icedit/choices{path}", data=body) as answer:
                    assert answer.status == status, path
            except aiohttp.ClientConnectionError:
                assert status == 413, "the server may hang up on what is too long"
        await page.post(f"/{choice['id']}", {"index": 0})
        await page.finished(client, prompt)


async def test_another_client_does_not_keep_the_run_waiting(client, server):
    """Only the client that queued holds the choice open: here it never shows the pictures, and another one does."""
    async with page_of(server, client) as page:
        prompt = await client.queue(person_graph())
        choice = await page.event("icedit.choice")
        started = time.monotonic()
        async with page.session.ws_connect(f"{server.url}/ws?clientId=another", max_msg_size=0):
            assert await page.post(f"/{choice['id']}/shown", {"client_id": "another"}) == 200
            while not (entry := await client.history(prompt)):
                assert time.monotonic() - started < 20
                await asyncio.sleep(0.1)
        assert "no page shows the pictures" in complaint(entry)


async def test_a_waiting_person_is_cancelled_within_a_second(client, server):
    async with page_of(server, client) as page:
        prompt = await client.queue(person_graph())
        choice = await page.event("icedit.choice")
        await page.shown(choice)
        pressed = time.monotonic()
        await client.interrupt()
        assert (await page.event("icedit.choice_over"))["id"] == choice["id"]
        entry = await page.finished(client, prompt)
        assert time.monotonic() - pressed < 1.5, "a second, and what the machine takes for itself"
        assert any(kind == "execution_interrupted" for kind, _ in entry["status"]["messages"])
        assert json.loads((await page.get())[1]) == []


async def test_a_script_without_a_websocket_gets_an_error_at_once(client, server):
    started = time.monotonic()
    prompt = await client.queue(person_graph())
    while not (entry := await client.history(prompt)):
        await asyncio.sleep(0.05)
    assert "nobody is connected to this run" in complaint(entry) and "ComfyUI's own page" in complaint(entry)
    assert time.monotonic() - started < 10


async def test_a_client_that_shows_nothing_gets_an_error_soon(client):
    with pytest.raises(ExecutionFailed, match="no page shows the pictures.*the candidates are kept"):
        await client.run(person_graph(), timeout=60)


async def test_a_person_gives_no_numbers(client):
    graph = person_graph()
    inputs = graph.pop("rank")["inputs"]
    inputs = {name: inputs[name] for name in ("source", "instruction", "judge")} | {"edit": inputs["candidates"]}
    graph["score"] = {"class_type": "ICEditVIEScore", "inputs": inputs}
    graph["save"] = {"class_type": "PreviewAny", "inputs": {"source": ["score", 2]}}
    with pytest.raises(ExecutionFailed, match="a person clicks on the best picture here"):
        await client.run(graph, timeout=60)


async def test_the_pages_script_is_served(client, server):
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/extensions") as answer:
            (script,) = [name for name in await answer.json() if name.endswith("judge_person.js")]
        async with session.get(server.url + script) as answer:
            assert answer.status == 200 and "ICEditJudgePerson" in await answer.text()


async def test_a_person_chooses_in_the_box_without_a_new_sampling(client, server):
    graph = box("http://127.0.0.1:9/v1", seed=220)
    graph["judge"] = {"class_type": "ICEditJudgePerson", "inputs": {}}
    before = sampled(server)
    async with page_of(server, client) as page:
        for index in (0, 1):
            prompt = await client.queue(graph)
            choice = await page.event("icedit.choice", within=200)
            assert (choice["node"], choice["count"]) == ("judge", 3)
            await page.shown(choice)
            await page.post(f"/{choice['id']}", {"index": index})
            entry = await page.finished(client, prompt)
            assert entry["status"]["status_str"] == "success", entry["status"]
    assert sampled(server) == before + 1
    (saved,) = [
        one for output in entry["outputs"].values() for one in output.get("images", []) if one["type"] == "output"
    ]
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/view", params=saved) as answer:
        picture = np.asarray(Image.open(io.BytesIO(await answer.read())))
    assert np.array_equal(picture, await stock(client, 221))
