"""Prompts that programs post with the official pack's nodes: replaced before the host looks at them.

The host's own replacement reads `_meta` and every mapped input, and answers with an internal error where a program
wrote a prompt without them. So this hook of the host (`add_on_prompt_handler`) comes first and needs neither: what is
missing stays missing, and the host names it.
"""

from collections.abc import Container
from typing import Any

from comfy_api.latest import io

PICTURE = "image"  # the old diptych's own widget: the name of a file


def moved(prompt: dict[str, Any], rules: dict[io.NodeReplace, list[dict]], installed: Container[str]) -> dict[str, Any]:
    """The prompt with our nodes for those of the official pack that are not installed.

    Args:
        prompt: API format; returned as it is where nothing is to be replaced.
        rules: as registered with the host, each with its mapping of inputs.
        installed: the host's node types.
    """
    by_old = {rule.old_node_id: rule for rule in rules if rule.old_node_id not in installed}
    result = dict(prompt)
    for number, node in prompt.items():
        if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
            continue
        rule = by_old.get(node.get("class_type", ""))
        if rule is None:
            continue
        inputs = _inputs(rules[rule], node["inputs"])
        if PICTURE in node["inputs"] and rule.new_node_id == "ICEditDiptych" and "image" not in inputs:
            inputs["image"] = _picture(result, number, node["inputs"][PICTURE])
        result[number] = {"_meta": {"title": node["class_type"]}} | node
        result[number] |= {"class_type": rule.new_node_id, "inputs": inputs}
    return result


def _inputs(mapping: list[dict], old: dict[str, Any]) -> dict[str, Any]:
    return {
        entry["new_id"]: entry["set_value"] if "set_value" in entry else old[entry["old_id"]]
        for entry in mapping
        if "set_value" in entry or entry["old_id"] in old
    }


def _picture(prompt: dict[str, Any], number: str, value: Any) -> Any:
    """A link as it is; for the name of a file a LoadImage beside the old node."""
    if isinstance(value, list):
        return value
    loader = f"{number}.{PICTURE}"
    prompt[loader] = {"class_type": "LoadImage", "inputs": {"image": value}, "_meta": {"title": "Load Image"}}
    return [loader, 0]
