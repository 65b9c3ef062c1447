"""What is missing or wrong in the texts about the nodes, each in one line that says where to mend it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .pages import BEGIN, MADE, WORDS, page
from .words import CONTROL, SPECIAL, Node, english, inputs, outputs, own

HAN = re.compile("[\u4e00-\u9fff]")
CODE = re.compile(r"`([a-z][a-z0-9_-]*)`")  # in prose: an input, an output or a choice; other code has other signs
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
RUN = "Then run: python dev.py bench locales"

Texts = Mapping[str, Any]


def problems(info: Mapping[str, Node], root: Path) -> list[str]:
    """Everything that a person has to write or mend.

    Args:
        info: the host's `/object_info`.
        root: the pack's folder.
    """
    nodes = own(info)
    return [*_schemas(nodes), *_chinese(nodes, root), *_pages(nodes, root)]


def _schemas(nodes: Mapping[str, Node]) -> Iterator[str]:
    """English: what the schemas lack."""
    for node_id, node in nodes.items():
        where = f"{node_id}: its schema in nodes/"
        if not node["description"]:
            yield f"{where} has no description."
        for name, _, options, _ in inputs(node):
            if not options.get("tooltip"):
                yield f"{where} has no tooltip for the input '{name}'. {RUN}"
        for name, _, tooltip in outputs(node):
            if not tooltip:
                yield f"{where} has no tooltip for the output '{name}'. {RUN}"


def _chinese(nodes: Mapping[str, Node], root: Path) -> Iterator[str]:
    for name, wanted in _complete(nodes).items():
        file = root / "locales" / "zh" / name
        where = file.relative_to(root).as_posix()
        if not file.is_file():
            yield f"{where} is missing."
            continue
        try:
            have = dict(_leaves(json.loads(file.read_text(encoding="utf-8"))))
        except ValueError as problem:
            yield f"{where} is not JSON: {problem}."
            continue
        for key, text in wanted.items():
            if key not in have:
                yield f"{where} lacks {key} ('{text}'). Add its Chinese there. {RUN}"
        for key, text in have.items():
            if key not in wanted:
                yield f"{where} has {key}, but no node has such a thing. Remove or rename it. {RUN}"
            elif problem := _unlike_chinese(text, wanted[key]):
                yield f"{where}: {key} {problem}"


def _complete(nodes: Mapping[str, Node]) -> dict[str, dict[str, str]]:
    """File -> key -> English text: what every language must have, also what locales/en leaves to the schemas."""
    made = {name: dict(_leaves(content)) for name, content in english(nodes).items()}
    for node_id, node in nodes.items():
        fields = [("inputs", name, options.get("tooltip")) for name, _, options, _ in inputs(node)]
        fields += [("outputs", str(index), tooltip) for index, (_, _, tooltip) in enumerate(outputs(node))]
        texts = {f"{node_id}.description": node["description"], f"{node_id}.display_name": node["display_name"]}
        texts |= {f"{node_id}.{group}.{name}.tooltip": text for group, name, text in fields if text}
        made["nodeDefs.json"] |= texts
    return made


def _leaves(texts: Texts, above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in texts.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _unlike_chinese(text: str, english_text: str) -> str:
    if text == english_text:
        return "is the English text. Translate it."
    if not HAN.search(text):
        return f"is '{text}', without a Chinese character. Translate it."
    if signs := sorted(SPECIAL & set(text)):
        return f"holds {' '.join(signs)}, which the front end takes for its message format. Use words instead."
    return ""


def _pages(nodes: Mapping[str, Node], root: Path) -> Iterator[str]:
    known = _vocabulary(nodes)
    for node_id in nodes:
        texts = {}
        for language in WORDS:
            file = root / page(node_id, language)
            if file.is_file():
                texts[language] = file.read_text(encoding="utf-8")
                found = _page(texts[language], language, known, root)
                yield from (f"{page(node_id, language)} {said}" for said in found)
            else:
                yield f"{page(node_id, language)} is missing: the help of {node_id}. Copy another node's. {RUN}"
        if len(set(texts.values())) < len(texts):
            yield f"{page(node_id, 'zh')} is the English page. Translate it."
    yield from _stray(nodes, root)


def _page(text: str, language: str, known: set[str], root: Path) -> Iterator[str]:
    """What is wrong with one page, as the end of a sentence that begins with its path."""
    say = WORDS[language]
    if len(MADE.findall(text)) != 1:
        yield f"must hold the lists of inputs and outputs once: the lines '{BEGIN}' and '<!-- end -->'. {RUN}"
    for heading in ("mistakes", "next"):
        if say[heading] not in text.splitlines():
            yield f"has no section '{say[heading]}'."
    prose = MADE.sub("", text)
    if language == "zh":
        for paragraph in re.split(r"\n\s*\n", prose):
            if not HAN.search(paragraph) and not paragraph.strip().startswith(("#", "```")):
                yield f"has a paragraph without a Chinese character: '{paragraph.strip()[:60]}'."
    for word in sorted(set(CODE.findall(prose)) - known):
        yield f"names `{word}`, but no node has an input, output or choice of that name."
    for target in LINK.findall(prose):
        if target.startswith("#"):
            if not (root / page(target[1:], language)).is_file():
                yield f"links to {target}, but there is no help for such a node."
        elif "://" not in target and not (root / "web" / "docs" / target).is_file():
            yield f"shows {target}, but web/docs/{target} does not exist."


def _vocabulary(nodes: Mapping[str, Node]) -> set[str]:
    """What prose may name: inputs, outputs and choices of our nodes."""
    known = {CONTROL}
    for node in nodes.values():
        known |= {name for name, *_ in outputs(node)}
        for name, kind, options, _ in inputs(node):
            choices = kind if isinstance(kind, list) else options.get("options", ())
            known |= {name, *(choice for choice in choices if isinstance(choice, str))}
    return known


def _stray(nodes: Mapping[str, Node], root: Path) -> Iterator[str]:
    """Pages of nodes that are no more."""
    wanted = {page(node_id, language) for node_id in nodes for language in WORDS}
    for file in sorted((root / "web" / "docs").rglob("*.md")):
        if file.relative_to(root) not in wanted:
            yield f"{file.relative_to(root).as_posix()} belongs to no node. Remove or rename it."
