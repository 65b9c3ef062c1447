"""Static HTML pages: everything is in the one file, text is escaped, nothing is fetched and no script runs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..batch import sheet

SIDE = 256  # px of a picture on a page
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 76em; padding: 0 1em; color: #202020;
  background: #fcfcfc }
table { border-collapse: collapse; margin: 1em 0; display: block; max-width: 100%; overflow-x: auto }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left }
.row { display: flex; flex-wrap: wrap; gap: .6em; margin: 1em 0; border-top: 1px solid #ddd; padding-top: .6em }
.row p { flex-basis: 100%; margin: 0; white-space: pre-line; overflow-wrap: anywhere }
figure { margin: 0; max-width: 260px } figcaption { font-size: 13px; color: #555; overflow-wrap: anywhere }
img { max-width: 100% } .row img { min-width: 128px }
.note { color: #555 } .bad { color: #a00000 } pre { white-space: pre-wrap; overflow-wrap: anywhere }
</style></head><body>
<h1>{{ title }}</h1>
"""
FOOT = "</body></html>\n"


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page from a template with HEAD and FOOT around it; every value is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    return environment.from_string(HEAD + template + FOOT).render(values)


def number(value: float | None) -> str:
    """Four significant digits, "-" for none."""
    return "-" if value is None else f"{value:.4g}"


def picture(file: Path | None) -> str:
    """A small copy of a picture as a data address, "" if there is none that can be read."""
    image = sheet.read(file)
    if image is None:
        return ""
    image.thumbnail((SIDE, SIDE))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=85)
    return _address(packed.getvalue(), "image/jpeg")


def plot(draw: Callable[[Any], None], size: tuple[float, float] = (8.0, 3.0)) -> str:
    """A matplotlib figure as a data address.

    Args:
        draw: gets the axes.
        size: inches of 100 px.
    """
    from matplotlib.figure import Figure  # without pyplot: no window system is asked for

    figure = Figure(figsize=size, dpi=100, layout="constrained")
    draw(figure.add_subplot())
    packed = io.BytesIO()
    figure.savefig(packed, format="png", metadata={"Software": None})
    return _address(packed.getvalue(), "image/png")


def bars(names: Sequence[str], means: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> str:
    """Means with their intervals, one bar a run."""

    def draw(axes: Any) -> None:
        below = [mean - low for mean, low in zip(means, lows, strict=True)]
        above = [high - mean for mean, high in zip(means, highs, strict=True)]
        axes.barh(
            [name.replace("$", r"\$")[:40] for name in names],
            means,
            xerr=[below, above] if any(below) or any(above) else None,
            color="#6a8caf",
            capsize=3,
        )
        axes.invert_yaxis()

    return plot(draw, (8.0, 0.6 + 0.4 * len(names)))


def _address(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
