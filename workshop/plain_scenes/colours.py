"""The colours by name: as an edit paints them, and as drawings show them."""

import numpy as np

RGB = tuple[float, float, float]

SHAPE_COLOURS: dict[str, RGB] = {
    "red": (0.90, 0.10, 0.12),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (0.98, 0.88, 0.10),
    "green": (0.12, 0.68, 0.22),
    "cyan": (0.10, 0.80, 0.88),
    "blue": (0.12, 0.28, 0.92),
    "purple": (0.56, 0.14, 0.76),
    "pink": (1.00, 0.50, 0.76),
    "black": (0.05, 0.05, 0.05),
    "white": (0.97, 0.97, 0.97),
    "grey": (0.55, 0.55, 0.55),
    "brown": (0.42, 0.26, 0.14),
}
PATTERN_COLOURS: dict[str, RGB] = {
    **{name: SHAPE_COLOURS[name] for name in ("white", "grey", "black")},
    "tan": (0.84, 0.70, 0.50),
    "brown": SHAPE_COLOURS["brown"],
    "navy": (0.06, 0.10, 0.42),
    "light blue": (0.62, 0.82, 0.98),
    "dark green": (0.04, 0.36, 0.18),
}
BACKGROUND_COLOURS: dict[str, RGB] = PATTERN_COLOURS | SHAPE_COLOURS

# What drawing programs paint under these names (the CSS colours, and a bright green).
LOOKS: dict[str, tuple[RGB, ...]] = {
    "red": ((1.0, 0.0, 0.0), (0.86, 0.08, 0.24)),
    "orange": ((1.0, 0.65, 0.0), (1.0, 0.45, 0.0)),
    "yellow": ((1.0, 1.0, 0.0), (1.0, 0.84, 0.0)),
    "green": ((0.0, 0.50, 0.0), (0.0, 1.0, 0.0), (0.13, 0.55, 0.13)),
    "cyan": ((0.0, 1.0, 1.0),),
    "blue": ((0.0, 0.0, 1.0), (0.25, 0.41, 0.88)),
    "purple": ((0.50, 0.0, 0.50), (0.58, 0.0, 0.83)),
    "pink": ((1.0, 0.75, 0.80), (1.0, 0.41, 0.71)),
    "black": ((0.0, 0.0, 0.0),),
    "white": ((1.0, 1.0, 1.0),),
    "grey": ((0.50, 0.50, 0.50), (0.66, 0.66, 0.66)),
    "brown": ((0.65, 0.16, 0.16), (0.55, 0.27, 0.07)),
    "tan": ((0.82, 0.71, 0.55),),
    "navy": ((0.0, 0.0, 0.50),),
    "light blue": ((0.68, 0.85, 0.90),),
    "dark green": ((0.0, 0.39, 0.0),),
}
CANONICAL_SHARE = 0.5  # of a scene's colours, as an edit would paint them
NOISE = 0.03


def look(name: str, rng: np.random.Generator) -> RGB:
    """How a drawing may show a colour: as an edit paints it, or on the way to one of `LOOKS`."""
    canonical = np.array(BACKGROUND_COLOURS[name])
    if rng.random() < CANONICAL_SHARE:
        return BACKGROUND_COLOURS[name]
    other = np.array(LOOKS[name][int(rng.integers(len(LOOKS[name])))])
    mixed = canonical + (other - canonical) * rng.uniform(0.3, 1.0) + rng.uniform(-NOISE, NOISE, 3)
    red, green, blue = np.clip(mixed, 0.0, 1.0).round(4).tolist()
    return red, green, blue


def apart(one: RGB, other: RGB) -> float:
    """The largest difference of a channel."""
    return float(np.abs(np.array(one) - np.array(other)).max())
