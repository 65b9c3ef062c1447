"""A configuration's values by pydantic's rules, and what pydantic finds wrong in words: who, got, needed, remedy."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Strict, TypeAdapter, ValidationError, ValidationInfo
from pydantic.types import AllowInfNan

Config = TypeVar("Config")
WORDS = {"string": "a text in quotes", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
}
_VARIABLE = re.compile(r"\$\{(\w+)\}")

RULES = ConfigDict(extra="forbid")  # of every section, a pydantic dataclass


def _in_folder(path: str, info: ValidationInfo) -> str:
    """A relative path starts at the file's folder, but not the empty one; ${NAME} is the environment's."""
    if info.context is None or not path:
        return path
    for name in _VARIABLE.findall(path):
        if not os.environ.get(name):
            raise ValueError(
                f"{name} is not set. Set it (export {name}=..., in Windows set {name}=...) or write the folder here."
            )
    filled = _VARIABLE.sub(lambda found: os.environ[found[1]], path)
    return str(info.context / Path(filled).expanduser())


Text = Annotated[str, Strict()]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), AllowInfNan(False)]
Flag = Annotated[bool, Strict()]
FilePath = Annotated[Text, AfterValidator(_in_folder)]


def build(kind: type[Config], values: Mapping[str, Any], who: str, folder: Path | None) -> Config:
    """An instance of `kind`, whose fields are sections.

    Args:
        who: what errors name, the file.
        folder: where relative paths start; None leaves them as they are.
    Raises:
        ValueError: one text that names the key, what it is, and what is needed.
    """
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema()
    needed: dict[str, Any] = {name: {} for name in schema["required"]}  # a section that is missing lacks its keys
    try:
        return adapter.validate_python(needed | dict(values), context=folder)
    except ValidationError as problems:
        raise ValueError(f"{who}: {_said(problems.errors()[0], schema)}") from None


def _said(problem: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Pydantic's problem in our words."""
    place, kind, got = problem["loc"], problem["type"], problem["input"]
    names = [part for part in place if isinstance(part, str)]
    known = _resolved(schema, place[:-1]).get("properties", {})
    if kind == "unexpected_keyword_argument":
        return f"{'.'.join(names)} is unknown. {_suggestion(names, known)}"
    if kind == "missing" and names == list(place):
        return f"{'.'.join(names)} is missing, but it is needed. Add it to [{names[0]}]."
    if kind == "dataclass_type":
        return f"{names[-1]} is {got!r}, but a section is needed. Write [{names[-1]}]."
    if kind == "value_error":
        reason = problem["ctx"]["error"]
        return f"{'.'.join(names)} is {got!r}, but {reason}" if len(names) > 1 else f"[{names[0]}] {reason}"
    of_key = _resolved(schema, names if kind in ("missing", "too_long") else place)
    got = float(got) if of_key.get("type") == "number" and type(got) is int else got
    return f"{'.'.join(names)} is {got!r}, but {_needed(of_key, kind)} is needed."


def _suggestion(names: list[str], known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(names[-1], known, n=1)
    place = f"[{names[0]}] knows" if len(names) > 1 else "The sections are"
    return (f"Did you mean {near[0]!r}? " if near else "") + f"{place} {', '.join(sorted(known))}."


def _resolved(schema: Mapping[str, Any], place: tuple[str | int, ...] | list[str]) -> Mapping[str, Any]:
    """The JSON schema of a key."""
    found = schema
    for part in place:
        items = found.get("prefixItems")
        found = found["properties"][part] if isinstance(part, str) else items[part] if items else found["items"]
        found = schema["$defs"][found["$ref"].rsplit("/", 1)[1]] if "$ref" in found else found
    return found


def _needed(of_key: Mapping[str, Any], kind: str) -> str:
    """What a key takes instead of what it got."""
    if of_key.get("type") == "array":
        count = of_key.get("minItems")
        return f"a list of {count} values" if count else "a list"
    if kind == "finite_number":
        return "a finite number"
    if kind == "literal_error":
        return " or ".join(repr(choice) for choice in of_key["enum"])
    if kind.endswith(("_type", "_parsing")):
        return WORDS[of_key["type"]]
    return " and ".join(words.format(of_key[bound]) for bound, words in BOUNDS.items() if bound in of_key)
