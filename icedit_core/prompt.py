"""The words the model is given: the published in-context prompt and its alternatives."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

IC_TEMPLATE = (
    "A diptych with two side-by-side images of the same scene. "
    "On the right, the scene is exactly the same as on the left but {instruction}"
)
"""Published IC prompt, verbatim. Source: River-Zhang/ICEdit, scripts/inference.py; arXiv 2504.20690, supplement."""

SUBJECT_TEMPLATE = (
    "a side-by-side image of the same {subject}: the left depicts the original {description}, "
    "while the right mirrors the left but applies {instruction}"
)
"""Subject and description form. Source: arXiv 2504.20690, section 3.1."""

TEMPLATES: Mapping[str, str] = {
    "in-context": IC_TEMPLATE,
    "subject": SUBJECT_TEMPLATE,
    "direct": "{instruction}",
}


def clean(instruction: str) -> str:
    """Trim blanks around `instruction` and its one closing full stop; nothing else is changed.

    The published template ends in the instruction without a stop, so "make it red." and "make it red" mean the same.
    An ellipsis is kept.

    Raises:
        ValueError: nothing is left.
    """
    text = instruction.strip()
    for stop in (".", "\u3002"):
        if text.endswith(stop) and not text.endswith(stop * 2):
            text = text[: -len(stop)].rstrip()
    if not text:
        raise ValueError(
            f"ICEdit prompt: the instruction is {instruction!r}, but some words are needed. "
            "Write what to change, e.g. 'make her hair dark green'."
        )
    return text


def bare(instruction: str) -> str:
    """The instruction alone, where somebody typed the whole in-context prompt; anything else comes back as it is."""
    words = " ".join(instruction.split())
    start = IC_TEMPLATE.partition("{")[0].strip()
    return words[len(start) :].strip() if words.lower().startswith(start.lower()) else instruction


def wrap(instruction: str, template: str = IC_TEMPLATE, subject: str = "", description: str = "") -> str:
    """Put the instruction into a template.

    Args:
        instruction: the user's words, cleaned by `clean`.
        template: text with `{instruction}`, and `{subject}` and `{description}` where wanted; other braces stay as
            they are.
        subject: what both panels show, e.g. "man".
        description: the source in words, e.g. "a man in a grey coat".
    Raises:
        ValueError: empty instruction, a template without `{instruction}`, or a named part left empty.
    """
    if "{instruction}" not in template:
        raise ValueError(
            f"ICEdit prompt: the template is {template!r}, but it must hold {{instruction}}. "
            "Add {instruction} where the words belong."
        )
    if template == IC_TEMPLATE:
        instruction = bare(instruction)
    parts = {"instruction": clean(instruction), "subject": subject.strip(), "description": description.strip()}
    for name in ("subject", "description"):
        if "{" + name + "}" in template and not parts[name]:
            raise ValueError(
                f"ICEdit prompt: {name} is empty, but this template names it. Fill it in or choose another template."
            )
    return _fill(template, parts)


def _fill(template: str, parts: Mapping[str, str]) -> str:
    """Replace each `{name}` once, left to right, so that braces inside the user's words stay words."""
    out, rest = [], template
    while rest:
        start, name = min(
            ((rest.find("{" + name + "}"), name) for name in parts if "{" + name + "}" in rest), default=(-1, "")
        )
        if start < 0:
            break
        out += [rest[:start], parts[name]]
        rest = rest[start + len(name) + 2 :]
    return "".join([*out, rest])


def foreign_script(text: str) -> str:
    """Name the first non-Latin script in `text` ("CJK", "CYRILLIC", ...), or "" when there is none.

    FLUX's text encoders know English; other scripts mostly become unknown tokens.
    """
    for char in text:
        if char.isalpha() and ord(char) > 0x24F:
            script = unicodedata.name(char, "").split(" ")[0]
            if script not in ("LATIN", "GREEK", "MODIFIER", "FULLWIDTH"):
                return script
    return ""
