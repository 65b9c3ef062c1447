"""Drawn pictures that are as busy as photographs."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def texture(width=320, height=240, blur=2.0, seed=0) -> Image.Image:
    """Leaves of many colours under light that falls off, with a little grain: drawn, but as busy as a photograph."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), (90, 110, 80))
    draw = ImageDraw.Draw(image)
    for _ in range(900):
        x, y, r = rng.integers(0, width), rng.integers(0, height), rng.integers(3, 16)
        draw.ellipse((x, y, x + r, y + r * 1.5), fill=tuple(int(c) for c in rng.integers(20, 235, 3)))
    array = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float32)
    array = array * np.linspace(0.5, 1.1, width)[None, :, None] + rng.normal(0, 4, array.shape)
    return Image.fromarray(array.clip(0, 255).astype(np.uint8))
