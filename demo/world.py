"""What the demo model knows, and sentences for pictures and words outside of it."""

import re

import numpy as np
from PIL import Image

from .scenes.draw import BACKGROUND_COLOURS, SHAPE_COLOURS
from .scenes.words import known

LOOKED_AT = 96  # px: the longer side that a picture is looked at, which hides what JPEG adds
SMOOTH = 6 / 255  # second difference up to which a pixel is part of a flat area or a gradient
LEAST_SMOOTH = 0.52  # share of such pixels: scenes and drawings have 0.72 and more, as JPEG files 0.53
MOST_COLOURS = 280  # of 4096; scenes and drawings have up to 160, as JPEG files up to 270
WORLD = "drawings of a few coloured shapes on a plain, striped or gradient background"
LISTED = 6  # unknown words that a sentence names

_NO_DRAWING = (
    f"Note: the demo model knows only {WORLD}, and this looks like a photograph or another picture. "
    "Most likely the result shows something else. For photographs use FLUX.1 Fill (workflow icedit_flux_fill)."
)
_WORD = re.compile(r"[^\W_]+")
_REMOVED_BACKGROUND = re.compile(r"\b(remove|delete|erase|take away|get rid of) (the |its )?(\w+ )?background\b")


def of_picture(picture: np.ndarray) -> str:
    """A warning for a picture unlike the scenes, or "".

    Args:
        picture: (H, W, 3) RGB in [0, 1].
    """
    return "" if is_drawing(picture) else _NO_DRAWING


def is_drawing(picture: np.ndarray) -> bool:
    """Whether most of (H, W, 3) is flat or a gradient, and the colours are few."""
    small = _small(picture)
    padded = np.pad(small, ((1, 1), (1, 1), (0, 0)), mode="edge")
    down = padded[2:, 1:-1] - 2 * small + padded[:-2, 1:-1]
    across = padded[1:-1, 2:] - 2 * small + padded[1:-1, :-2]
    smooth = np.maximum(np.abs(down), np.abs(across)).max(-1) < SMOOTH
    colours = np.unique((small * 15.99).astype(int) @ (256, 16, 1))
    return bool(smooth.mean() >= LEAST_SMOOTH) and len(colours) <= MOST_COLOURS


def of_words(instruction: str) -> str:
    """A warning for words that the model was not trained on, or for known ones in a place it never saw, or ""."""
    text = instruction.lower()
    knows = known()
    letters = {part for word in knows["words"] for part in _WORD.findall(word)}
    unknown = list(dict.fromkeys(word for word in _WORD.findall(text) if word not in letters))
    if unknown:
        named = ", ".join(f"'{word[:40]}'" for word in unknown[:LISTED]) + (" ..." if unknown[LISTED:] else "")
        return (
            f"Note: the demo model was never trained on {named}, so expect a wrong result. It knows "
            f"{', '.join(knows['things'])}; {', '.join(knows['colours'])}; {', '.join(knows['families'])}."
        )
    unseen = _unseen_place(text)
    return f"Note: the demo model knows these words, but never saw {unseen}. Expect a wrong result." if unseen else ""


def _unseen_place(text: str) -> str:
    """Colours of things asked for as a background, the other way round, and a background to be removed."""
    if _REMOVED_BACKGROUND.search(text):
        return "a background removed"
    if "background" in text:
        never = [c for c in SHAPE_COLOURS if c not in BACKGROUND_COLOURS]
        return next((f"a {c} background" for c in never if re.search(rf"background (to |with )?{c}\W*$", text)), "")
    text = text.replace("black and white", "")  # a style
    never = sorted((c for c in BACKGROUND_COLOURS if c not in SHAPE_COLOURS), key=len, reverse=True)
    return next((f"a {c} shape" for c in never if re.search(rf"\b{c}\b", text)), "")


def _small(picture: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32, the longer side at most LOOKED_AT px."""
    height, width = picture.shape[:2]
    scale = LOOKED_AT / max(height, width)
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
    if scale < 1:
        image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX)
    return np.asarray(image, np.float32) / 255
