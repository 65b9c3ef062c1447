"""Pictures and words that the demo model does not know: said by Diptych and Prompt, and repeated by Restore."""

import pytest

from ..textures import texture
from . import graphs

HAIR = "make her hair dark green"


async def run(server, client, graph, tmp_path):
    file = tmp_path / "leaves.png"
    texture().save(file)
    image = (await client.upload_image(file)).widget
    scene = graphs.find(graph, "ICEditDemoScene")
    graph[scene] = {"class_type": "LoadImage", "inputs": {"image": image}}
    return await client.run(graph, timeout=120)


def short(**prompt):
    return graphs.changed(graphs.changed(graphs.shipped("icedit_demo"), "KSampler", steps=1), "ICEditPrompt", **prompt)


async def test_it_is_said_before_sampling_and_beside_the_result(server, client, tmp_path):
    graph = short(instruction=HAIR)
    result = await run(server, client, graph, tmp_path)
    assert "photograph" in result.text(graphs.find(graph, "ICEditDiptych"))
    assert result.text(graphs.find(graph, "ICEditRestore")).startswith("Note: the demo model knows only")
    assert "'hair'" in result.text(graphs.find(graph, "ICEditPrompt"))


@pytest.mark.parametrize("seed", [3, 4])
async def test_scenes_and_their_words_are_passed_in_silence(client, seed):
    graph = graphs.changed(short(), "ICEditDemoScene", seed=seed)
    result = await client.run(graph, timeout=120)
    for kind in ("ICEditDiptych", "ICEditRestore", "ICEditPrompt"):
        assert "demo model" not in result.text(graphs.find(graph, kind))


async def test_without_the_model_the_diptych_knows_nothing_of_the_demo(server, client, tmp_path):
    graph = short()
    del graph[graphs.find(graph, "ICEditDiptych")]["inputs"]["model"]
    result = await run(server, client, graph, tmp_path)
    assert "demo model" not in result.text(graphs.find(graph, "ICEditDiptych"))


async def test_what_the_demo_model_painted_is_taken_for_its_world_in_the_next_turn(client):
    graph = graphs.shipped("icedit_multi_turn_demo")
    result = await client.run(graph, timeout=300)
    texts = [result.text(i) for i, node in graph.items() if node["class_type"].startswith("ICEdit")]
    assert any(texts) and "demo model" not in "".join(text or "" for text in texts)
