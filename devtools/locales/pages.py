"""Help pages: prose by hand, the lists of inputs and outputs from the schema and the Chinese locale."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .words import Node, inputs, outputs

BEGIN, END = "<!-- made by: python dev.py bench locales -->", "<!-- end -->"
MADE = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
SHOWN = 2**31  # a limit beyond this is none that a person would meet

WORDS: Mapping[str, Any] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))


def page(node_id: str, language: str) -> Path:
    """Where the front end looks: the language's own page, then the one for all languages, which is English."""
    docs = Path("web/docs")
    return docs / f"{node_id}.md" if language == "en" else docs / node_id / f"{language}.md"


def render_page(text: str, node: Node, words: Mapping[str, Any], language: str) -> str:
    """The page with its lists made anew.

    Args:
        words: the node's entry in the language's nodeDefs.json; {} for English, which the schema gives.
    """
    return MADE.sub(lambda _: f"{BEGIN}\n{lists(node, words, language)}\n{END}", text)


def lists(node: Node, words: Mapping[str, Any], language: str) -> str:
    say = WORDS[language]
    given = [_input(one, words.get("inputs", {}), language) for one in inputs(node)]
    made = [_output(index, one, words.get("outputs", {}), language) for index, one in enumerate(outputs(node))]
    return "\n".join([say["inputs"], "", *(given or [say["none"]]), "", say["outputs"], "", *(made or [say["none"]])])


def _input(one: tuple[str, Any, Mapping[str, Any], bool], words: Mapping[str, Any], language: str) -> str:
    name, kind, options, optional = one
    facts = list(_facts(kind, options, language))
    facts += [WORDS[language]["optional"]] * optional + [WORDS[language]["advanced"]] * bool(options.get("advanced"))
    own = {"name": options.get("display_name") or name, "tooltip": options.get("tooltip", "")} | words.get(name, {})
    return _item(name, own, facts, language)


def _output(index: int, one: tuple[str, str, str], words: Mapping[str, Any], language: str) -> str:
    name, kind, tooltip = one
    own = {"name": name, "tooltip": tooltip} | words.get(str(index), {})
    return _item(name, own, [_type(kind, language)], language)


def _item(name: str, own: Mapping[str, str], facts: list[str], language: str) -> str:
    say = WORDS[language]
    if own["name"] != name and f"`{name}`" not in facts:  # an output without a name of its own has its type's
        facts = [f"`{name}`", *facts]
    return say["item"].format(own["name"], say["comma"].join(facts), own["tooltip"])


def _type(kind: Any, language: str) -> str:
    return WORDS[language].get("COMBO" if isinstance(kind, list) else kind, f"`{kind}`")


def _facts(kind: Any, options: Mapping[str, Any], language: str) -> Iterator[str]:
    """Type, range and default."""
    say = WORDS[language]
    yield _type(kind, language)
    if kind in ("INT", "FLOAT"):
        low, high = options["min"], options["max"]
        yield say["to"].format(f"{low:g}", f"{high:g}") if high < SHOWN else say["from"].format(f"{low:g}")
    default = options.get("default")
    if isinstance(default, bool):
        yield say["default"].format(say["on"] if default else say["off"])
    elif isinstance(default, (int, float)):
        yield say["default"].format(f"{default:g}")
    elif isinstance(default, str) and default and len(default) <= 40:
        yield say["default"].format(f"`{default}`")
