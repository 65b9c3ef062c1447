"""Numbers that come by a link obey the limits of their widgets, which the host holds for widgets alone."""

import functools
import inspect
import math
from typing import Any

from comfy_api.latest import io

from ...icedit_core import foreign


def hold(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The same node, which checks its numbers before it runs.

    Raises, when run:
        ValueError: a number outside of its input's limits, or none.
    """
    inputs = [one for one in node.GET_SCHEMA().inputs if isinstance(one, (io.Int.Input, io.Float.Input))]
    execute = inspect.getattr_static(node, "execute").__func__
    if not inputs or hasattr(execute, "__wrapped__"):
        return node

    def check(values: dict[str, Any]) -> None:
        for one in inputs:
            given = values.get(one.id)
            for value in given if node.GET_SCHEMA().is_input_list and isinstance(given, list) else [given]:
                _check(node.GET_SCHEMA().display_name, one, value)

    @functools.wraps(execute)
    def within_limits(cls, *args, **values):
        check(values)
        return execute(cls, *args, **values)

    @functools.wraps(execute)
    async def awaited_within_limits(cls, *args, **values):
        check(values)
        return await execute(cls, *args, **values)

    # The host asks the function itself whether it has to be awaited.
    node.execute = classmethod(awaited_within_limits if inspect.iscoroutinefunction(execute) else within_limits)
    return node


def _check(who: str, limits: Any, value: Any) -> None:
    if value is None:  # an optional one that is not there
        return
    whole = isinstance(limits, io.Int.Input)
    low = -math.inf if limits.min is None else limits.min
    high = math.inf if limits.max is None else limits.max
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not (is_number and low <= value <= high and abs(value) != math.inf):
        kind = "whole number" if whole else "number"
        raise ValueError(
            f"{who}: {limits.id} is {foreign.line(value, 40)}, but a {kind} from {low} to {high} is needed. "
            "Change it, or what is linked to it."
        )
