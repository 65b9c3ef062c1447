"""Dataclasses from untrusted mappings: every key known, every type right, every value in range, or one clear error."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

WORDS: dict[type, str] = {str: "a text in quotes", int: "a whole number", float: "a number", bool: "true or false"}

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def key(default: Any = dataclasses.MISSING, **rules: Any) -> Any:
    """A field of a section; without a default it must be given.

    Args:
        rules: least, most, above, below, multiple for numbers; choices; path (a relative one starts at the file's
            folder, but not the empty one; ${NAME} is the environment's).
    """
    return dataclasses.field(default=default, metadata=rules)


def build(section: type, values: Any, who: str, folder: Path | None, name: str = "") -> Any:
    """An instance of the dataclass `section`; nested dataclasses are TOML's tables.

    Raises:
        ValueError: one text that names the key, what it is, and what is needed.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{who}: {name} is {values!r}, but a section is needed. Write [{name}].")
    hints = typing.get_type_hints(section)
    known = {field.name: field for field in dataclasses.fields(section) if field.init}
    for unknown in (given for given in values if given not in known):
        raise ValueError(f"{who}: {_join(name, unknown)} is unknown. {_suggestion(unknown, name, known)}")
    made = {}
    for field in known.values():
        full, wanted = _join(name, field.name), hints[field.name]
        if dataclasses.is_dataclass(wanted) and (field.name in values or _required(field)):
            made[field.name] = build(typing.cast(type, wanted), values.get(field.name, {}), who, folder, full)
        elif field.name in values:
            made[field.name] = _checked(values[field.name], wanted, field.metadata, f"{who}: {full}", folder)
        elif _required(field):
            raise ValueError(f"{who}: {full} is missing, but it is needed. Add it to [{name}].")
    try:
        return section(**made)
    except ValueError as problem:  # a section's own rules
        raise ValueError(f"{who}: [{name}] {problem}") from problem


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _join(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name


def _suggestion(unknown: str, section: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(unknown, known, n=1)
    place = f"[{section}] knows" if section else "the sections are"
    return (
        f"Did you mean {near[0]!r}? " if near else ""
    ) + f"{place[0].upper()}{place[1:]} {', '.join(sorted(known))}."


def _checked(value: Any, wanted: Any, rules: Mapping[str, Any], where: str, folder: Path | None) -> Any:
    """`value` as the type `wanted`, within `rules`."""
    if typing.get_origin(wanted) in (tuple, list):
        inner = [part for part in typing.get_args(wanted) if part is not Ellipsis]
        count = len(inner) if len(inner) > 1 else None
        if not isinstance(value, (list, tuple)) or (count and len(value) != count):
            need = f"a list of {count} values" if count else "a list"
            raise ValueError(f"{where} is {value!r}, but {need} is needed.")
        kinds = inner if count else inner * len(value)
        parts = [_checked(part, kind, rules, where, folder) for part, kind in zip(value, kinds, strict=True)]
        return typing.get_origin(wanted)(parts)
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted in WORDS and type(value) is not wanted:
        raise ValueError(f"{where} is {value!r}, but {WORDS[wanted]} is needed.")
    if need := _broken_rule(value, SimpleNamespace(**rules)):
        raise ValueError(f"{where} is {value!r}, but {need} is needed.")
    if rules.get("path") and folder is not None and value:
        return str(folder / Path(_filled(value, where)).expanduser())
    return value


def _filled(path: str, where: str) -> str:
    """`path` with ${NAME} replaced by the environment's value."""
    for name in _VARIABLE.findall(path):
        if not os.environ.get(name):
            raise ValueError(
                f"{where} is {path!r}, but {name} is not set. Set it (export {name}=..., in Windows set {name}=...) or "
                "write the folder here."
            )
    return _VARIABLE.sub(lambda found: os.environ[found[1]], path)


def _broken_rule(value: Any, rules: SimpleNamespace) -> str:
    """What is needed instead of `value`, or nothing."""
    bounds = {
        "least": ("at least {}", lambda bound: value >= bound),
        "most": ("at most {}", lambda bound: value <= bound),
        "above": ("more than {}", lambda bound: value > bound),
        "below": ("less than {}", lambda bound: value < bound),
        "multiple": ("a multiple of {}", lambda bound: value % bound == 0),
    }
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if choices := getattr(rules, "choices", None):
        return "" if value in choices else " or ".join(repr(choice) for choice in choices)
    said = [words.format(vars(rules)[rule]) for rule, (words, _) in bounds.items() if rule in vars(rules)]
    held = all(test(vars(rules)[rule]) for rule, (_, test) in bounds.items() if rule in vars(rules))
    return "" if held else " and ".join(said)
