"""The part of JSON Schema that questions to a judge need: fields of a few kinds, some of them required."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import foreign

KINDS = ("object", "array", "string", "number", "integer", "boolean")


class Misfit(ValueError):
    """What does not fit, and what would."""


def fitted(value: Any, schema: Mapping[str, Any], place: str = "") -> Any:
    """A value as the schema wants it: numbers and switches in quotes are taken out of them, fields it does not name go.

    Args:
        schema: `type` is one of `KINDS`; `enum`, `minimum`, `maximum` and `minLength` bound a value; `items` is the
            schema of an array's elements; `properties` and `required` are an object's.
        place: where the value stands, for the error.
    Raises:
        Misfit: it does not fit.
    """
    kind = schema["type"]
    if kind == "object":
        return _object(value, schema, place)
    if kind == "array":
        elements = value if isinstance(value, list) else [value]
        return [fitted(one, schema["items"], f"{place}[{index}]") for index, one in enumerate(elements)]
    found = _plain(value, kind)
    if found is None:
        raise Misfit(f"{place} is {foreign.line(value, 60)}, but a {kind} is needed")
    if "enum" in schema:
        same = [one for one in schema["enum"] if one == found or str(one).lower() == str(found).strip().lower()]
        if not same:
            listed = ", ".join(map(str, schema["enum"]))
            raise Misfit(f"{place} is {foreign.line(found, 60)}, but one of {listed} is needed")
        return same[0]
    low, high = schema.get("minimum", found), schema.get("maximum", found)
    if not low <= found <= high or (isinstance(found, str) and len(found.strip()) < schema.get("minLength", 0)):
        bounds = ", ".join(f"{name} {schema[name]}" for name in ("minimum", "maximum", "minLength") if name in schema)
        raise Misfit(f"{place} is {foreign.line(found, 60)}, but {bounds} is needed")
    return found


def _object(value: Any, schema: Mapping[str, Any], place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Misfit(f"{place or 'the answer'} is {foreign.line(value, 60)}, but an object is needed")
    fields = schema["properties"]
    missing = [name for name in schema.get("required", fields) if value.get(name) is None]
    if missing:
        raise Misfit(f"{', '.join(place + name for name in missing)} is missing")
    return {
        name: fitted(value[name], one, f"{place}.{name}" if place else name)
        for name, one in fields.items()
        if value.get(name) is not None
    }


def _plain(value: Any, kind: str) -> Any:
    """The value as that kind; None if it is of another."""
    if kind == "string":
        return value if isinstance(value, str) else None
    if kind == "boolean":
        if isinstance(value, str):
            return {"true": True, "yes": True, "false": False, "no": False}.get(value.strip().lower())
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not abs(number) < 2**53:  # NaN too
        return None
    if kind == "number":
        return number
    return int(number) if number.is_integer() else None
