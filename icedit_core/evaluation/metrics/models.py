"""CLIP, DINO and LPIPS from local files: nothing is fetched, and no code of a folder is run."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import foreign
from ...batch.facts import hash_of
from ...plain_files import json_object, open_regular
from .libraries import missing
from .pair import planes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
BEFORE, SIDE = 256, 224  # px: shorter side, and the square cut out of its middle
MOST_CONFIG = 1 << 20  # bytes
LONGEST = 480  # px, of a side that DINO's keys are taken at


LIBRARIES = {"clip": ("CLIP", "transformers"), "dino": ("DINO", "transformers"), "lpips": ("LPIPS", "torchmetrics")}
"""Argument -> (the name that people read, the library that it needs)."""


class Models:
    """What is given and can be used; what is not, is left out.

    Args:
        clip: folder of a transformers CLIPModel with its processor.
        dino: folder of a transformers ViTModel or Dinov2Model.
        lpips: file of the backbone's weights as torchvision names them (.safetensors or .pth).
        net: the backbone, "alex", "squeeze" or "vgg"; torchmetrics has its linear layers.
    Raises:
        ValueError: a folder or file that is none of these.
    """

    def __init__(
        self, clip: Path | None = None, dino: Path | None = None, lpips: Path | None = None, net: str = "squeeze"
    ) -> None:
        self.files = {"clip": clip, "dino": dino, "lpips": lpips}
        self.has_clip, self.has_dino, self.has_lpips = (not self.lacks(name) for name in self.files)
        found = _clip(clip) if clip is not None and self.has_clip else (None, None)
        self.clip: Any = found[0]
        self.processor: Any = found[1]
        self.dino: Any = _dino(dino) if dino is not None and self.has_dino else None
        self._lpips: Any = _lpips(lpips, net) if lpips is not None and self.has_lpips else None

    def lacks(self, name: str) -> str:
        """Why a model of `LIBRARIES` cannot be used, or ""."""
        title, library = LIBRARIES[name]
        why = "no file of its weights is given" if self.files[name] is None else missing(library)
        return f"{title}: {why}" if why else ""

    def hashes(self) -> dict[str, str | None]:
        """SHA-256 of the weights that measure; what makes figures comparable. None where there are none."""
        found: dict[str, str | None] = {}
        for name, file in self.files.items():
            weights = file if file is None or name == "lpips" else file / "model.safetensors"
            found[name] = hash_of(weights) if weights is not None and weights.is_file() else None
        return found

    @torch.no_grad()
    def clip_pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """(N, D) float32 features of (H, W, 3) in [0, 1]; the processor resizes and cuts as CLIP was trained."""
        seen = [(picture * 255).round().clamp(0, 255).byte().numpy() for picture in pictures]
        given = torch.cat([self.processor(images=one, return_tensors="pt")["pixel_values"] for one in seen])
        pooled = self.clip.vision_model(pixel_values=given).pooler_output
        return self.clip.visual_projection(pooled).float()

    @torch.no_grad()
    def clip_words(self, texts: list[str]) -> Tensor:
        """(N, D) float32 features; longer texts are cut at CLIP's 77 tokens."""
        given = self.processor(text=texts, return_tensors="pt", padding=True, truncation=True)
        pooled = self.clip.text_model(input_ids=given["input_ids"], attention_mask=given["attention_mask"])
        return self.clip.text_projection(pooled.pooler_output).float()

    @torch.no_grad()
    def dino_pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """(N, D) class tokens."""
        given = torch.cat([middle(planes(picture)) for picture in pictures])
        side = self.dino.config.image_size
        return self.dino(pixel_values=given, **_interpolated(side, SIDE, SIDE)).last_hidden_state[:, 0].float()

    @torch.no_grad()
    def dino_keys(self, picture: Tensor) -> Tensor:
        """(T, D): the last layer's keys of a picture (H, W, 3), its shorter side at 224 px."""
        small = planes(picture)
        height, width = small.shape[-2:]
        scale = min(SIDE / min(height, width), LONGEST / max(height, width))
        patch = self.dino.config.patch_size
        size = [max(patch, round(side * scale) // patch * patch) for side in (height, width)]
        small = _normalised(F.interpolate(small, size, mode="bilinear", antialias=True, align_corners=False))
        last = [m for name, m in self.dino.named_modules() if name.rpartition(".")[2] in ("key", "k_proj")][-1]
        found: list[Tensor] = []
        hook = last.register_forward_hook(lambda _m, _i, out: found.append(out))
        try:
            self.dino(pixel_values=small, **_interpolated(self.dino.config.image_size, *size))
        finally:
            hook.remove()
        return found[0][0].float()

    @torch.no_grad()
    def lpips(self, a: Tensor, b: Tensor) -> float:
        """LPIPS of (H, W, 3) in [0, 1]."""
        return float(self._lpips(planes(a) * 2 - 1, planes(b) * 2 - 1).mean())


def middle(pictures: Tensor) -> Tensor:
    """(N, 3, 224, 224), normalised: the shorter side at 256 px (bicubic), the middle cut out."""
    height, width = pictures.shape[-2:]
    scale = BEFORE / min(height, width)
    size = [max(SIDE, int(side * scale)) for side in (height, width)]
    large = F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    top, left = ((side - SIDE) // 2 for side in size)
    return _normalised(large[..., top : top + SIDE, left : left + SIDE])


def _normalised(pictures: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pictures - mean) / std


def _interpolated(side: int | Sequence[int], height: int, width: int) -> dict[str, bool]:
    """Whether the position embeddings are interpolated for a size other than the model's own."""
    own = tuple(side) if isinstance(side, (list, tuple)) else (side, side)
    return {"interpolate_pos_encoding": True} if own != (height, width) else {}


def _clip(folder: Path) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    return _model(folder, "CLIP", CLIPModel, ("clip",)), _loaded(folder, "CLIP", CLIPProcessor)


def _dino(folder: Path) -> Any:
    from transformers import AutoModel

    return _model(folder, "DINO", AutoModel, ("vit", "dinov2"))


def kind_of(folder: Path) -> str:
    """The model's type that a transformers folder names in its config.json, "" if there is none."""
    try:
        with open_regular(folder / "config.json", MOST_CONFIG) as file:
            return str(json_object(file.read()).get("model_type", ""))
    except ValueError:
        return ""


def _model(folder: Path, who: str, kind: Any, types: tuple[str, ...]) -> Any:
    """A model with all of its weights: transformers draws those that a folder does not have, and only warns."""
    if (found := kind_of(folder)) not in types:
        got = f"{folder} of type {foreign.line(found)}" if found else f"{folder}, which names no type in a config.json"
        raise ValueError(f"{who}: got {got}, but a transformers folder of type {' or '.join(types)} is needed.")
    model, told = _loaded(folder, who, kind, output_loading_info=True, use_safetensors=True)
    lost = [name for name in told["missing_keys"] if not name.startswith("pooler.")]  # of ViT; not looked at here
    if lost:
        raise ValueError(f"{who}: {folder} has no weights {foreign.listed(sorted(lost), 3)}, but all are needed.")
    return model.eval()


def _loaded(folder: Path, who: str, kind: Any, **options: bool) -> Any:
    try:
        return kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        raise ValueError(f"{who}: {folder} cannot be loaded: {foreign.line(problem, 500)}") from None


def _lpips(file: Path, net: Any) -> Any:
    """torchmetrics' LPIPS with its own linear layers and the backbone of a file."""
    from torchmetrics.functional.image.lpips import _LPIPS

    try:
        state = _state(file)
        model = _LPIPS(pretrained=True, net=net, pnet_rand=True)
        own = {key: key for key in model.net.state_dict()}
        wanted = {key: _published(key) for key in own}
        model.net.load_state_dict({key: state[name] for key, name in wanted.items()})
    except pickle.UnpicklingError:  # its text advises to load what must not be
        raise ValueError(f"LPIPS: got {file}, but it is no file of weights alone.") from None
    except (OSError, KeyError, RuntimeError, ValueError) as problem:
        raise ValueError(
            f"LPIPS: got {file}, but torchvision's weights of {net} are needed: {foreign.line(problem, 500)}"
        ) from None
    return model.eval()


def _published(key: str) -> str:
    """`slice2.3.weight`, `slices.1.3.weight` -> `features.3.weight`: the numbers are torchvision's."""
    return f"features.{re.sub(r'^slice(s.)?[0-9]+[.]', '', key)}"


def _state(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(file))
    found: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return found
