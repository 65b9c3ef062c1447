"""What a judge does when a ranking is over: an Ollama server is asked to drop the model from its memory."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import torch
from aiohttp import web

from icedit_core import rank_images
from icedit_core.judges import Closing, JudgeUnavailable
from icedit_core.judges.server import ServerJudge

SOURCE = torch.zeros(4, 4, 3)
EDITS = [torch.full((4, 4, 3), level) for level in (0.3, 0.6)]


class Recorder:
    """A server that keeps what it is sent; `answer` and `freeing` make its replies."""

    def __init__(self, answer, freeing):
        self.answer, self.freeing, self.sent = answer, freeing, []

    async def chat(self, request):
        self.sent.append(("chat", await request.json()))
        return await self.answer()

    async def generate(self, request):
        self.sent.append((request.headers.get("Authorization"), await request.json()))
        return await self.freeing()

    @asynccontextmanager
    async def serving(self):
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/api/generate", self.generate)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
        finally:
            await runner.cleanup()


async def says_one():
    return web.json_response({"choices": [{"message": {"content": "1"}}]})


async def never():
    await asyncio.sleep(60)


async def dropped():
    return web.json_response({"model": "tiny", "response": "", "done": True, "done_reason": "unload"})


async def unknown():
    return web.Response(status=404, text="no such page")


async def garbage():
    return web.Response(text="[]")


def ranked(recorder, words, **options):
    """The report; `words` make the question a new one, which no earlier test has had answered."""

    async def main():
        async with recorder.serving() as url:
            judge = ServerJudge(url, "tiny", **{"free_memory": True, "retries": 0} | options)
            return (await rank_images.rank([SOURCE], EDITS, words, judge, both_orders=False)).report

    return asyncio.run(main())


def freed(recorder):
    return [body for kind, body in recorder.sent if kind != "chat"]


def test_a_server_is_asked_once_after_the_ranking(monkeypatch):
    monkeypatch.setenv("ICEDIT_JUDGE_KEY", "secret")
    recorder = Recorder(says_one, dropped)
    report = ranked(recorder, "free it", key_variable="ICEDIT_JUDGE_KEY")
    assert recorder.sent[-1] == ("Bearer secret", {"model": "tiny", "keep_alive": 0})
    assert [kind for kind, _ in recorder.sent[:-1]] == ["chat"]
    assert "tiny was dropped from the server's memory" in report


def test_by_default_the_server_keeps_its_model():
    recorder = Recorder(says_one, dropped)
    report = ranked(recorder, "keep it", free_memory=False)
    assert freed(recorder) == [] and "memory" not in report


@pytest.mark.parametrize("reply", [unknown, garbage])
def test_another_kind_of_server_is_no_error(reply):
    recorder = Recorder(says_one, reply)
    report = ranked(recorder, reply.__name__)
    assert len(freed(recorder)) == 1
    assert "best is candidate 0" in report and "note: tiny stays in the server's memory" in report


def test_a_failed_ranking_frees_too_and_says_what_failed():
    recorder = Recorder(garbage, dropped)
    with pytest.raises(JudgeUnavailable, match="no chat completion"):
        ranked(recorder, "failed")
    assert len(freed(recorder)) == 1


def test_a_server_that_went_away_is_no_further_error():
    with pytest.raises(JudgeUnavailable, match="cannot be reached"):
        judge = ServerJudge("http://127.0.0.1:9/v1", "tiny", retries=0, free_memory=True)
        asyncio.run(rank_images.rank([SOURCE], EDITS, "away", judge))


def test_a_cancelled_ranking_frees_too():
    recorder = Recorder(never, dropped)

    async def main():
        async with recorder.serving() as url:
            judge = ServerJudge(url, "tiny", free_memory=True)
            running = asyncio.ensure_future(rank_images.rank([SOURCE], EDITS, "cancelled", judge))
            while not recorder.sent:
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(main())
    assert len(freed(recorder)) == 1


def test_nothing_asked_nothing_freed():
    recorder = Recorder(says_one, dropped)

    async def main():
        async with recorder.serving() as url:
            judge = ServerJudge(url, "tiny", free_memory=True)
            for _ in range(2):
                await rank_images.rank([SOURCE], EDITS, "remembered", judge)

    asyncio.run(main())
    assert len(freed(recorder)) == 1
    assert isinstance(ServerJudge("http://127.0.0.1:9/v1", "tiny"), Closing)
