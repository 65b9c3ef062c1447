"""The shipped workflows are laid out for reading: nothing overlaps, links go left to right, models can be found."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from devtools.api_form import api_graph
from devtools.arrange import HEADER, TITLE, Place, arrange, least_height
from devtools.canvas import canvas_json
from devtools.graph import Box, Column, Group, Link, Node, Workflow, port

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
BLUEPRINTS = ("ICEdit", "ICEdit best of N", "ICEdit retry")
SCREEN = (1600, 1000)  # px
FITTED = 0.75  # of the screen that the front end fills with a template when it opens it
READABLE = 0.575  # zoom from which the front end draws text
OF_THE_PACK = "icedit_demo/"  # files that need no download
CONVERTED = {"x2edit.safetensors"}  # files that the user makes of published ones, by `icedit convert`

INFO: dict[str, Any] = {
    "Load": {"input": {"required": {"name": [["a"], {}]}}, "output": ["MODEL"]},
    "Say": {
        "input": {
            "required": {"model": ["MODEL", {}], "words": ["STRING", {"multiline": True}], "seed": ["INT", {}]},
            "hidden": {"unique_id": ["UNIQUE_ID"]},
        },
        "output": ["IMAGE"],
    },
}


def levels() -> dict[str, dict[str, Any]]:
    """Every canvas and the inside of every box: nodes, groups, and links as (source, target)."""
    found = {}
    for file in [*sorted((ROOT / "workflows").glob("*.json")), *sorted((ROOT / "subgraphs").glob("*.json"))]:
        graph = json.loads(file.read_text(encoding="utf-8"))
        if file.parent.name == "workflows":
            found[file.stem] = graph | {"links": [(link[1], link[3]) for link in graph["links"]]}
        for box in graph.get("definitions", {}).get("subgraphs", []):
            inner = [(link["origin_id"], link["target_id"]) for link in box["links"]]
            found[f"{file.stem} > {box['name']}"] = box | {"links": [pair for pair in inner if min(pair) > 0]}
    return found


LEVELS = levels()


def canvas(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def frame(node: dict[str, Any]) -> Place:
    """A node with its title bar."""
    (x, y), (width, height) = node["pos"], node["size"]
    return Place(x, y - TITLE, width, height + TITLE)


def overlap(a: Place, b: Place) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def inside(a: Place, b: Place) -> bool:
    return b.x <= a.x and a.x + a.width <= b.x + b.width and b.y + 34 <= a.y and a.y + a.height <= b.y + b.height


@pytest.mark.parametrize("name", LEVELS)
def test_nothing_overlaps_and_every_node_stands_in_a_named_group(name):
    graph = LEVELS[name]
    groups = [(group["title"], Place(*group["bounding"])) for group in graph["groups"]]
    assert all(title.strip() for title, _ in groups)
    for (one, a), (other, b) in itertools.combinations(groups, 2):
        assert not overlap(a, b), (one, other)
    for one, other in itertools.combinations(graph["nodes"], 2):
        assert not overlap(frame(one), frame(other)), (one["type"], other["type"])
    for node in graph["nodes"]:
        assert sum(inside(frame(node), box) for _, box in groups) == 1, node["type"]


@pytest.mark.parametrize("name", LEVELS)
def test_links_go_from_left_to_right_or_down(name):
    graph = LEVELS[name]
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert graph["links"]
    for source, target in graph["links"]:
        (x, y), (to_x, to_y) = nodes[source]["pos"], nodes[target]["pos"]
        assert x + nodes[source]["size"][0] < to_x or (x == to_x and y < to_y), (source, target)


@pytest.mark.parametrize("name", LEVELS)
def test_a_whole_workflow_is_readable_on_one_screen(name):
    boxes = [Place(*group["bounding"]) for group in LEVELS[name]["groups"]]
    width = max(box.x + box.width for box in boxes) - min(box.x for box in boxes)
    height = max(box.y + box.height for box in boxes) - min(box.y for box in boxes)
    assert FITTED * min(SCREEN[0] / width, SCREEN[1] / height) > READABLE


@pytest.mark.parametrize("name", LEVELS)
def test_nodes_are_as_tall_as_their_sockets_and_widgets(name):
    for node in LEVELS[name]["nodes"]:
        sockets = max(sum("widget" not in socket for socket in node["inputs"]), len(node["outputs"]))
        assert node["size"][1] >= 20 * sockets + 24 * len(node["widgets_values"]) + 6, node["type"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_model_file_can_be_downloaded_and_is_named_in_the_note(name):
    graph = canvas(name)
    (note,) = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote"]
    for node in graph["nodes"]:
        named = {value for value in node["widgets_values"] if str(value).endswith(".safetensors")}
        offered = {model["name"]: model for model in node["properties"].get("models", [])}
        assert set(offered) == {file for file in named - CONVERTED if not file.startswith(OF_THE_PACK)}
        for file in named & CONVERTED:
            assert f"icedit_core.cli convert FOLDER COMFYUI/models/loras/{file}" in note
        for model in offered.values():
            assert model["url"].startswith("https://huggingface.co/") and model["url"].endswith(".safetensors")
            assert f"**{model['directory']}/**" in note and model["name"] in note
            assert "non-commercial" in note or "Apache 2.0" in note


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_thumbnail_and_an_api_form_lie_beside_it(name):
    with Image.open(ROOT / "workflows" / f"{name}.jpg") as picture:
        assert picture.format == "JPEG" and picture.width == 512
    assert (ROOT / "workflows" / "api" / f"{name}.json").is_file()


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_blueprint_is_one_box_that_shows_its_words_and_its_files(name):
    graph = json.loads((ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))
    (box,), (inside,) = graph["nodes"], graph["definitions"]["subgraphs"]
    assert (box["type"], box["title"], inside["name"]) == (inside["id"], name, name)
    assert inside["category"] == "ICEdit" and len(inside["description"]) > 40
    shown = [socket["name"] for socket in box["inputs"] if "widget" in socket]
    values = dict(zip(shown, box["widgets_values"], strict=True))
    assert values["instruction"] and values["steps"] == 28
    offered = [model["name"] for node in inside["nodes"] for model in node["properties"].get("models", [])]
    assert sorted(offered) == sorted(value for value in values.values() if str(value).endswith(".safetensors"))


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_every_port_of_a_blueprint_leads_to_the_input_of_its_name(name):
    graph = json.loads((ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))
    (inside,) = graph["definitions"]["subgraphs"]
    assert [entry["name"] for entry in inside["inputs"]] == [socket["name"] for socket in graph["nodes"][0]["inputs"]]
    nodes = {node["id"]: node for node in inside["nodes"]}
    links = {link["id"]: link for link in inside["links"]}
    for slot, entry in enumerate(inside["inputs"]):
        assert entry["linkIds"]
        for link in (links[number] for number in entry["linkIds"]):
            assert (link["origin_id"], link["origin_slot"]) == (-10, slot)
            socket = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert socket["link"] == link["id"] and socket["type"] == entry["type"]
            assert socket["name"] in (entry["name"], "source", "value"), (
                "the judge compares with the picture, Text holds words"
            )
    for slot, entry in enumerate(inside["outputs"]):
        (link,) = (links[number] for number in entry["linkIds"])
        assert (link["target_id"], link["target_slot"]) == (-20, slot)
        assert nodes[link["origin_id"]]["outputs"][link["origin_slot"]]["name"] == entry["name"]


def two_columns(*groups: tuple[str, ...]) -> Workflow:
    nodes = {"a": Node("Load"), "b": Node("Load", height=300), "say": Node("Say"), "note": Node("Note", text="n")}
    return Workflow(nodes, tuple(Column(200, (Group("g", "#fff", names),)) for names in groups))


def boxed() -> Workflow:
    """Two boxes of a node that says something, the second fed by the first."""
    says = {"say": Node("Say", {"model": port("model"), "words": port("words")})}
    inside = Workflow(says, (Column(200, (Group("g", "#fff", ("say",)),)),), first=101)
    box = Box("Pair", inside, ("model", "words"), {"picture": Link("say")}, {"words": "first"})
    nodes = {"load": Node("Load"), "one": Node("Pair", {"model": Link("load")})}
    nodes["two"] = Node("Pair", {"model": Link("one"), "words": "second"})
    return Workflow(nodes, (Column(200, (Group("g", "#fff", tuple(nodes)),)),), {"Pair": box})


def test_boxes_open_in_the_api_form_each_with_its_own_values():
    info = INFO | {name: INFO[name] | {"display_name": name} for name in INFO}
    graph = api_graph(boxed(), info)
    assert list(graph) == ["1", "2:101", "3:101"]
    assert graph["2:101"]["inputs"] == {"model": ["1", 0], "words": "first", "seed": 0}
    assert graph["3:101"]["inputs"] == {"model": ["2:101", 0], "words": "second", "seed": 0}


def test_a_box_is_described_once_and_placed_as_often_as_it_is_used():
    info = {name: INFO[name] | {"display_name": name, "output_name": INFO[name]["output"]} for name in INFO}
    graph = json.loads(canvas_json(boxed(), info))
    (inside,) = graph["definitions"]["subgraphs"]
    _, one, two = graph["nodes"]
    assert one["type"] == two["type"] == inside["id"]
    assert (one["widgets_values"], two["widgets_values"]) == (["first"], ["second"])
    assert [node["id"] for node in inside["nodes"]] == [101], "numbers that the canvas does not have"


def test_a_box_whose_ports_lead_nowhere_is_an_error():
    broken = replace(boxed(), boxes={"Pair": replace(boxed().boxes["Pair"], inputs=("model", "words", "more"))})
    with pytest.raises(ValueError, match=r"Pair: got ports \['model', 'words'\] inside, but it declares"):
        canvas_json(broken, INFO)


def test_columns_stand_beside_one_another_and_end_on_one_line():
    places, groups = arrange(two_columns(("a", "b"), ("say", "note")), INFO)
    assert places["b"].y == places["a"].y + places["a"].height + 15 + TITLE
    assert places["a"].y == places["say"].y == HEADER + TITLE
    (_, left), (_, right) = groups
    assert left.x + left.width < right.x and left.y + left.height == right.y + right.height


def test_heights_leave_room_for_what_a_run_adds():
    assert least_height(Node("Load"), INFO) == 20 + 24 + 8 + 6 + 10
    assert least_height(Node("Load", height=300), INFO) == 300
    assert least_height(Node("Say"), INFO) == 20 + 54 + 24 + 8 + 6 + 62 + 10, "a message appears below the widgets"


@pytest.mark.parametrize("groups", [(("a", "b"), ("say",)), (("a", "b", "a"), ("say", "note"))])
def test_a_node_in_no_group_or_in_two_is_an_error(groups):
    with pytest.raises(ValueError, match=r"arrange: \['(note|a)'\] stand in no group or two"):
        arrange(two_columns(*groups), INFO)
