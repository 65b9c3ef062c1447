"""A picture, an instruction and a seed find their places in the shipped workflows and in people's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icedit_core.cli import fill

API = Path(__file__).resolve().parents[2] / "workflows" / "api"
ONE_EDIT = (
    "icedit_demo", "icedit_flux_fill", "icedit_normal_lora", "icedit_training_free", "icedit_early_filter",
    "icedit_early_filter_demo", "best_of_any_editor", "x2edit", "x2edit_turbo",
)  # fmt: skip
WORDS = "PrimitiveStringMultiline"


def shipped(name: str) -> dict:
    return json.loads((API / f"{name}.json").read_text(encoding="utf-8"))


def all_of(graph: dict, kind: str) -> list[dict]:
    return [node["inputs"] for node in graph.values() if node["class_type"] == kind]


def graph_kind(graph: dict, link: object) -> str:
    """The type of the node that feeds an input, "" for a value."""
    return graph[link[0]]["class_type"] if isinstance(link, list) else ""


@pytest.mark.parametrize("name", ONE_EDIT)
def test_every_shipped_edit_takes_picture_instruction_and_seed(name):
    graph = shipped(name)
    fill.fill_in(graph, image="mine.png", instruction="remove it", seed=7)
    assert all_of(graph, "LoadImage") == [{"image": "mine.png"}]
    assert not all_of(graph, "ICEditDemoScene")
    for node in graph.values():
        words = node["inputs"].get("instruction", "remove it")
        if isinstance(words, list):
            words = graph[words[0]]["inputs"]["value"]
        assert words == "remove it"
    seeds = [node["inputs"]["seed"] for node in graph.values() if "seed" in node["inputs"]]
    assert seeds and set(seeds) == {7}
    assert all(link[0] in graph for _, link in fill.links(graph))


def test_words_from_one_node_reach_those_too_that_call_them_otherwise():
    graph = shipped("best_of_any_editor")  # the same words go to an `instruction` and to a CLIPTextEncode's `text`
    fill.fill_in(graph, instruction="remove it")
    assert [inputs["value"] for inputs in all_of(graph, WORDS)] == ["remove it"]
    read = [*all_of(graph, "CLIPTextEncode"), *all_of(graph, "ICEditRank")]
    assert len([link for inputs in read for link in inputs.values() if graph_kind(graph, link) == WORDS]) == 2


def test_a_seed_is_the_noises_and_not_the_scenes():
    graph = shipped("icedit_demo")
    (scene,) = all_of(graph, "ICEditDemoScene")
    before = dict(scene)
    fill.fill_in(graph, seed=7)
    assert scene == before and all_of(graph, "KSampler")[0]["seed"] == 7


def test_a_picture_from_another_output_becomes_the_loaders_first():
    graph = {"s": {"class_type": "Source", "inputs": {}}}
    graph["d"] = {"class_type": "ICEditDiptych", "inputs": {"image": ["s", 2]}}
    fill.fill_in(graph, image="mine.png")
    assert graph["d"]["inputs"]["image"] == ["s", 0] and graph["s"]["class_type"] == "LoadImage"


def test_nothing_wished_nothing_changed():
    graph = shipped("icedit_early_filter_demo")
    fill.fill_in(graph)
    assert graph == shipped("icedit_early_filter_demo")


def test_what_is_settled_stays_and_is_no_longer_in_question():
    graph = shipped("icedit_flux_fill")
    graph["second"] = {"class_type": "ICEditPrompt", "inputs": {"instruction": "then this"}}
    graph["mask"] = {"class_type": "LoadImage", "inputs": {"image": "mask.png"}}
    settled = {("second", "instruction"), ("mask", "image")}
    fill.fill_in(graph, image="mine.png", instruction="first this", settled=settled)
    assert [inputs["instruction"] for inputs in all_of(graph, "ICEditPrompt")] == ["first this", "then this"]
    assert [inputs["image"] for inputs in all_of(graph, "LoadImage")] == ["mine.png", "mask.png"]


def test_of_several_loaders_the_one_at_the_diptych_is_meant():
    graph = shipped("icedit_flux_fill")
    graph["mask"] = {"class_type": "LoadImage", "inputs": {"image": "mask.png"}}
    fill.fill_in(graph, image="mine.png")
    assert [inputs["image"] for inputs in all_of(graph, "LoadImage")] == ["mine.png", "mask.png"]


def test_a_second_turn_is_fed_by_the_first_and_needs_no_picture():
    graph = shipped("icedit_demo")
    (restore,) = (i for i, node in graph.items() if node["class_type"] == "ICEditRestore")
    graph["turn"] = {"class_type": "ICEditDiptych", "inputs": {"image": [restore, 0], "width": 64}}
    fill.fill_in(graph, image="mine.png")
    assert all_of(graph, "LoadImage") == [{"image": "mine.png"}] and graph["turn"]["inputs"]["image"] == [
        restore,
        0,
    ]


def test_several_instructions_are_listed():
    graph = shipped("icedit_flux_fill")
    graph["second"] = {"class_type": "ICEditPrompt", "inputs": {"instruction": "then this"}}
    with pytest.raises(ValueError, match=r"2 instructions \(.*'What to change'\), second .*--set NODE.instruction"):
        fill.fill_in(graph, instruction="which?")


def test_several_pictures_are_listed():
    graph = {str(i): {"class_type": "LoadImage", "inputs": {"image": "x.png"}} for i in range(2)}
    with pytest.raises(ValueError, match=r"several places for a picture \(0 \(LoadImage\), 1 \(LoadImage\)\)"):
        fill.fill_in(graph, image="mine.png")


@pytest.mark.parametrize("wish", [{"image": "a.png"}, {"instruction": "words"}, {"seed": 1}])
def test_no_place_for_a_wish_is_an_error(wish):
    with pytest.raises(ValueError, match="the workflow has no .*, but"):
        fill.fill_in({"1": {"class_type": "EmptyImage", "inputs": {"color": 1}}}, **wish)


def test_a_scene_of_which_more_is_used_is_not_replaced():
    graph = shipped("icedit_early_filter_demo")  # its instruction comes from the scene too
    with pytest.raises(ValueError, match=r"more of node .*ICEditDemoScene.* than its picture"):
        fill.fill_in(graph, image="mine.png")
