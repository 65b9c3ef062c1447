"""A hostile judge behind the real host: the server lives, and the page shows words as words."""

import json
import struct

import aiohttp
import pytest

from icedit_core.client import ExecutionFailed

from .test_rank import judge_server

WORDS = "<img src=/interrupt><b>x</b> [[click|https://evil.example]] & \ud800\x1b]52;c;x\x07 end"
TEXT_EVENT = 3


def rank_graph(url, words, model="tiny", method="score"):
    size = {"width": 16, "height": 16}
    colours = {"source": 0, "edits": 255}
    graph = {
        name: {"class_type": "EmptyImage", "inputs": size | {"batch_size": 1 + (name == "edits"), "color": colour}}
        for name, colour in colours.items()
    }
    graph["judge"] = {
        "class_type": "ICEditJudgeServer",
        "inputs": {"url": url, "model": model, "timeout": 5.0, "retries": 0, "parallel": 4},
    }
    links = {"source": ["source", 0], "candidates": ["edits", 0], "judge": ["judge", 0]}
    graph["rank"] = {
        "class_type": "ICEditRank",
        "inputs": links | {"instruction": words, "method": method, "both_orders": True},
    }
    graph["save"] = {"class_type": "PreviewAny", "inputs": {"source": ["rank", 3]}}
    return graph


async def hostile(number, body):
    return json.dumps({"score": [5, 5], "reasoning": WORDS})


async def shown_on(server, client, node, run):
    """The texts that the page is sent for a node while `run` runs, and what it gives."""
    texts = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/ws?clientId=watching", max_msg_size=0) as socket,
    ):
        result = await run
        while True:
            try:
                message = await socket.receive(timeout=1)
            except TimeoutError:
                return texts, result
            if message.type is aiohttp.WSMsgType.BINARY and struct.unpack(">I", message.data[:4])[0] == TEXT_EVENT:
                (length,) = struct.unpack(">I", message.data[4:8])
                if message.data[8 : 8 + length] == node.encode():
                    texts.append(message.data[8 + length :].decode())


async def test_a_judges_words_are_words_on_the_page(client, server):
    async with judge_server(hostile) as (url, _):
        graph = rank_graph(url, "words are words")
        (text,), result = await shown_on(server, client, "rank", client.run(graph, timeout=60))
    assert "best is candidate 0 (score: VIEScore, 0 to 10)" in text
    assert "<" not in text and "[[" not in text and "&lt;img src=/interrupt&gt;" in text and " &amp; " in text
    (told,) = [output["text"] for number, output in result.outputs.items() if number == "rank"]
    said = "".join(told)
    assert "<img src=/interrupt>" in said and "&lt;" not in said, "only the page takes it for HTML"
    assert "\\ud800\\x1b]52" in said and said.replace("\n", "").isprintable()
    assert "\x1b]52" not in server.log() and "<img src=/interrupt>" in server.log()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "http://127.0.0.1:9/\ud800"}, "but one like http"),
        ({"url": "http://\ud800/v1"}, "but one like http"),
        ({"model": "\ud800"}, "without control characters"),
        ({"key_variable": "ICEDIT_JUDGE_\ud800"}, "is not set"),
        ({"key_variable": "\ud800"}, "must begin with"),
    ],
)
async def test_a_lone_surrogate_in_a_workflow_leaves_the_server_alive(client, change, words):
    graph = rank_graph("http://127.0.0.1:9/v1", "surrogates")
    graph["judge"]["inputs"] |= change
    with pytest.raises(ExecutionFailed, match=words):
        await client.run(graph, timeout=30)
    async with judge_server(hostile) as (url, _):
        await client.run(rank_graph(url, f"alive after {words}"), timeout=30)
