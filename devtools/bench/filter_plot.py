"""The early filter's figures as a picture."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from .filter_page import SHOWN_EARLY
from .filter_table import ACCURACIES, COUNTS, EARLY

FINE = 2  # drawn this much larger, then made small, for smooth lines
PANEL = (560, 440)
LEFT, TOP, RIGHT, BOTTOM = 62, 60, 24, 62
INK, GRID, PAPER = "#222222", "#dddddd", "#ffffff"
COLOURS = ("#3b6fb6", "#d97a1a", "#3f9152", "#8a4fb0")


class Axes:
    """One panel: data coordinates to pixels, and a frame with ticks."""

    def __init__(self, pen: ImageDraw.ImageDraw, left: int, title: str, label: str, xs, ys):
        self.pen, self.x0, self.title, self.label = pen, left + LEFT, title, label
        self.width, self.height = PANEL[0] - LEFT - RIGHT, PANEL[1] - TOP - BOTTOM
        self.xs, self.ys = xs, ys

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.xs[0]) / (self.xs[-1] - self.xs[0])
        up = (y - self.ys[0]) / (self.ys[-1] - self.ys[0])
        return FINE * (self.x0 + across * self.width), FINE * (TOP + (1 - up) * self.height)

    def frame(self) -> None:
        for y in self.ys:
            self.pen.line([self.at(self.xs[0], y), self.at(self.xs[-1], y)], fill=GRID, width=FINE)
            self.text(self.at(self.xs[0], y), f"{y:.0%}", (-8, 0), "rm")
        for x in self.xs:
            self.pen.line([self.at(x, self.ys[0]), self.at(x, self.ys[-1])], fill=GRID, width=FINE)
            self.text(self.at(x, self.ys[0]), f"{x:g}", (0, 8), "ma")
        middle = (self.xs[0] + self.xs[-1]) / 2
        self.text(self.at(middle, self.ys[0]), self.label, (0, 30), "ma")
        self.text(self.at(self.xs[0], self.ys[-1]), self.title, (0, -34), "lm", 15)

    def text(self, at, words: str, off=(0, 0), anchor: str = "lm", size: int = 12, colour: str = INK) -> None:
        place = (at[0] + FINE * off[0], at[1] + FINE * off[1])
        self.pen.text(place, words, fill=colour, font=ImageFont.load_default(size=FINE * size), anchor=anchor)

    def line(self, points: list[tuple[float, float]], colour: str, dashed: bool = False, marks: bool = True) -> None:
        pixels = [self.at(*point) for point in points]
        for one, two in zip(pixels, pixels[1:], strict=False):
            self._stroke(one, two, colour, dashed)
        for x, y in pixels if marks else []:
            self.pen.ellipse([x - 4 * FINE, y - 4 * FINE, x + 4 * FINE, y + 4 * FINE], fill=colour, outline=PAPER)

    def _stroke(self, one, two, colour: str, dashed: bool) -> None:
        if not dashed:
            self.pen.line([one, two], fill=colour, width=2 * FINE)
            return
        length = ((two[0] - one[0]) ** 2 + (two[1] - one[1]) ** 2) ** 0.5
        pieces = max(1, round(length / (5 * FINE)))
        for piece in range(0, pieces, 2):
            ends = [piece / pieces, min(piece + 1, pieces) / pieces]
            at = [(one[0] + (two[0] - one[0]) * t, one[1] + (two[1] - one[1]) * t) for t in ends]
            self.pen.line(at, fill=colour, width=2 * FINE)

    def key(self, entries: list[tuple[str, str, bool]], across: float, down: float) -> None:
        """A legend of (words, colour, dashed), its upper left corner at shares of the panel."""
        for row, (words, colour, dashed) in enumerate(entries):
            x, y = FINE * (self.x0 + across * self.width), FINE * (TOP + down * self.height + 18 * row)
            self._stroke((x, y), (x + 24 * FINE, y), colour, dashed)
            self.text((x, y), words, (30, 0))


def plot(result: dict) -> Image.Image:
    """Success against model calls (left) and against the judge's accuracy (right)."""
    picture = Image.new("RGB", (2 * PANEL[0] * FINE, PANEL[1] * FINE), PAPER)
    pen = ImageDraw.Draw(picture)
    shares = [cell["success"] for cell in (*result["oracle"], *result["judges"])]
    low, high = int(min(shares) * 20) / 20, -int(-max(shares) * 20 // 1) / 20
    ys = [low + 0.05 * i for i in range(round((high - low) / 0.05) + 1)]
    calls = range(0, max(cell["nfe"] for cell in result["oracle"]) + 20, 20)
    _calls(Axes(pen, 0, "A judge that is never wrong", "model calls (NFE)", calls, ys), result)
    ticks = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    title = f"Judges that err (m = {SHOWN_EARLY})"
    _accuracy(Axes(pen, PANEL[0], title, "right on a pair of previews (p)", ticks, ys), result)
    return picture.resize((2 * PANEL[0], PANEL[1]), Image.Resampling.LANCZOS)


def _calls(axes: Axes, result: dict) -> None:
    axes.frame()
    cells = {(cell["M"], cell["m"]): cell for cell in result["oracle"]}
    for early, colour in zip(EARLY, COLOURS, strict=False):
        points = [(cells[count, early]["nfe"], cells[count, early]["success"]) for count in COUNTS]
        axes.line(points, colour)
    for count in COUNTS:
        cell = cells[count, EARLY[-1]]
        axes.text(axes.at(cell["nfe"], cell["success"]), f"M = {count}", (4, 14), "mm", 11, COLOURS[-1])
    axes.key(
        [(f"m = {m} of {result['steps']}", colour, False) for m, colour in zip(EARLY, COLOURS, strict=False)], 0.7, 0.8
    )


def _accuracy(axes: Axes, result: dict) -> None:
    axes.frame()
    exact = {(cell["M"], cell["m"]): cell["success"] for cell in result["oracle"]}
    cells = {
        (c["p"], c["both_orders"], c["M"]): c for c in result["judges"] if (c["m"], c["leaning"]) == (SHOWN_EARLY, 0)
    }
    counts = [count for count in COUNTS if count > 1]
    for count, colour in zip(counts, COLOURS, strict=True):
        for both in (True, False):
            points = [(p, cells[p, both, count]["success"]) for p in ACCURACIES] + [(1.0, exact[count, SHOWN_EARLY])]
            axes.line(points, colour, dashed=both, marks=not both)
    blind = exact[1, SHOWN_EARLY]
    axes.line([(0.4, blind), (1.0, blind)], INK, marks=False)
    entries = [(f"M = {count}", colour, False) for count, colour in zip(counts, COLOURS, strict=True)]
    axes.key([*entries, ("the same, both orders", INK, True), ("one seed, blindly", INK, False)], 0.04, 0.06)
