"""What ICEdit Only What Changes is asked to do, and the thresholds it takes where it is not told one."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...icedit_core.only_changes import cosine, l4, perceptual, region, spot
from ...icedit_core.only_changes.tokens import Grid, to_tokens
from .decoder_taps import decoder_of, taps

WHO = "ICEdit Only What Changes"
METHODS = ("spot", "region")
SELECTORS = ("auto", "decoder", "cosine", "L4")
MASK_USES = ("limit", "fix", "add")
FLOWS = ("source", "own")
KINDS = ("fill", "flux", "flux2", "qwen")
# Cosine: RegionE's lower bounds of the similarity are 0.93 for Kontext, 0.80 for Qwen. Decoder: SpotEdit's.
# FLUX.2 and FLUX Fill have none published.
COSINE = {"fill": 0.07, "flux": 0.07, "flux2": 0.07, "qwen": 0.20}
DECODER = {"fill": 0.20, "flux": 0.20, "flux2": 0.20, "qwen": 0.15}
L4_THRESHOLD = 0.1
WHOLE_FROM = 0.6  # of the demo's edits those of one thing lie below it, those of the whole picture above
SELECTOR_WORDS = {"decoder": "by the VAE decoder's layers", "cosine": "by the tokens' cosine", "L4": "by L4"}


@dataclass(frozen=True)
class Settings:
    """The node's inputs; see its tooltips. threshold: 0 takes the selector's own; gammas: None takes the published."""

    method: str = "spot"
    threshold: float = 0.0
    selector: str = "auto"
    grow: int = 1
    last_full: int = 0
    full_steps: str = ""
    flow: str = "source"
    reuse_error: float = 0.0
    gammas: tuple[float, ...] | None = None
    mask: Tensor | None = None
    mask_use: str = "limit"
    source: dict[str, Any] | None = None
    vae: Any = None
    whole_from: float = WHOLE_FROM
    first_code: bool = False  # SpotEdit's first dilation, for comparisons alone: no input of the node


class Chooser:
    """Asks which tokens differ from the source.

    Args:
        kind: of the model, one of KINDS.
        source: (B or 1, C, H, W) in the model's scale.
        unscaled: from the model's scale to the VAE's.
    """

    def __init__(self, settings: Settings, kind: str, source: Tensor, grid: Grid, unscaled):
        self.settings, self.grid, self.source, self.unscaled = settings, grid, source, unscaled
        self.decoder = None if settings.vae is None else decoder_of(settings.vae, source.shape[1])
        self.selector = self._selector()
        own = {"decoder": DECODER[kind], "cosine": COSINE[kind], "L4": L4_THRESHOLD}[self.selector]
        self.threshold = settings.threshold or own
        self.tokens = to_tokens(source, grid)
        self.features = None

    def _selector(self) -> str:
        wanted = self.settings.selector
        if wanted == "decoder" and self.decoder is None:
            got = (
                "no VAE is connected" if self.settings.vae is None else "this VAE has no such layers for these latents"
            )
            raise ValueError(
                f"{WHO}: selector decoder, but {got}. Connect the editor's full VAE (TAESD has none), or choose auto."
            )
        if self.settings.method == "region":
            return "cosine"  # RegionE has no other
        return wanted if wanted != "auto" else ("cosine" if self.decoder is None else "decoder")

    def __str__(self) -> str:
        return f"{self.settings.method} {SELECTOR_WORDS[self.selector]}, threshold {self.threshold:g}"

    def distance(self, x0: Tensor) -> Tensor:
        """(B, N) of an estimate (B, C, H, W)."""
        if self.selector == "decoder":
            if self.features is None:
                self.features = taps(self.decoder, self.unscaled(self.source))
            return perceptual.distance(taps(self.decoder, self.unscaled(x0)), self.features, x0.shape[-2:], self.grid)
        measure = cosine if self.selector == "cosine" else l4
        return measure.distance(to_tokens(x0, self.grid), self.tokens)

    def active(self, x0: Tensor, open_tokens: Tensor | None) -> Tensor:
        """(B, N) bool."""
        distance, settings = self.distance(x0), self.settings
        if settings.method == "region":
            return region.active(distance, self.threshold, self.grid, open_tokens)
        if settings.first_code:
            return spot.active_of_first_code(distance, self.threshold, settings.grow, self.grid)
        return spot.active(distance, self.threshold, settings.grow, self.grid, open_tokens)
