"""Numbers by a link obey the widgets' limits, with a sentence."""

import asyncio
import inspect
import math
import re
from importlib import import_module

import pytest

from icedit_core.client import ExecutionFailed

from . import graphs
from .test_best_of import box


def linked(graph, kind, name, value):
    """The graph with a number linked to an input of the one node of that kind."""
    node = graphs.find(graph, kind)
    source = "PrimitiveFloat" if isinstance(value, float) else "PrimitiveInt"
    graph["number"] = {"class_type": source, "inputs": {"value": value}}
    graph[node]["inputs"][name] = ["number", 0]
    return graph


@pytest.mark.parametrize(
    ("kind", "name", "value", "range_"),
    [
        ("ICEditDiptych", "width", 16384, "16 to 4096"),
        ("ICEditDiptych", "width", 0, "16 to 4096"),
        ("ICEditDiptych", "context", 1e18, r"0\.0 to 8\.0"),
        ("ICEditDemoScene", "size", 10**6, "16 to 2048"),
        ("ICEditBestOf", "count", 10**9, "1 to 64"),
        ("ICEditBestOf", "drop_after", -1, "0 to 9999"),
        ("ICEditJudgeServer", "parallel", 0, "1 to 64"),
        ("ICEditJudgeServer", "retries", 10**9, "0 to 10"),
        ("ICEditJudgeServer", "timeout", 1e12, r"1\.0 to 3600\.0"),
    ],
)
async def test_a_number_by_a_link_obeys_the_widgets_limits(client, kind, name, value, range_):
    graph = linked(box("http://127.0.0.1:9/v1", seed=900), kind, name, value)
    with pytest.raises(
        ExecutionFailed, match=rf"ICEdit .*: {name} is {re.escape(str(value))}, but a .*number from {range_} is needed"
    ):
        await client.run(graph, timeout=200)


def run(execute, **values):
    """As the host does it: an awaited node is awaited."""
    made = execute(**values)
    return asyncio.run(made) if inspect.iscoroutine(made) else made


def test_every_node_is_held(pack):
    from icedit_pack.nodes import MODULES
    from icedit_pack.nodes.host.limits import hold

    held = set()
    for module in MODULES:
        if module == "judge_person":  # has no numbers, and adds routes to a server that is not here
            continue
        for node in map(hold, import_module(f"icedit_pack.nodes.{module}").NODES):
            for one in node.GET_SCHEMA().inputs:
                if (most := getattr(one, "max", None)) is None:
                    continue
                held.add(one.id)
                odd: list = [most + 1, -math.inf, math.nan, "7", True, [1]]
                if node.GET_SCHEMA().is_input_list:  # a list of numbers is right there, and each is looked at
                    odd = [[value] for value in odd] + odd[:-1]
                for value in odd:
                    with pytest.raises(ValueError, match=f"{one.id} is .* is needed"):
                        run(node.execute, **{one.id: value})
    assert {"width", "context", "count", "batch", "keep", "index", "parallel", "strength"} <= held
