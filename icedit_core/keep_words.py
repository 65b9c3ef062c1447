"""What ICEdit Keep Unedited says of an edit: how it lay on the source, its colours, how much changed."""

from dataclasses import dataclass

from torch import Tensor

from .colour import Colours
from .registration import Registration

ENDINGS = {
    "part": "",
    "mask": " (by the mask)",
    "whole": ": the whole picture was edited (a style, a season, the light), nothing of the source is kept",
}


@dataclass(frozen=True)
class Found:
    """How one edit lies on its source and what it changed.

    `weight` (H, W) in [0, 1] is how much of the edit each pixel takes; `kind` says why: `part` a change that was found,
    `mask` the user's, `lost` a registration that cannot be trusted, `whole` an edit of the whole picture.
    """

    weight: Tensor
    place: Registration
    colours: Colours
    kind: str

    def words(self) -> str:
        """Such as "zoom -1.6 %, shift 0.7 px, colours 3 % warmer, 4.1 % changed."."""
        if self.kind == "lost":
            return f"Not aligned ({self.place.reason}): only brought to the source's size, nothing of it is kept."
        share = float((self.weight > 0).float().mean())
        changed = "nothing changed" if share == 0 else f"{100 * share:.1f} % changed"
        said = [self.place.words(), self.colours.words(), changed + ENDINGS[self.kind]]
        text = ", ".join(part for part in said if part)
        return text[0].upper() + text[1:] + "."
